"""AG-UI 1.0 and 0.x (https://docs.ag-ui.com), and the routes of CopilotKit's runtime."""
