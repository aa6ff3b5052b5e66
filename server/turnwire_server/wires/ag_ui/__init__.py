"""AG-UI, and the routes that CopilotKit's front end asks for."""
