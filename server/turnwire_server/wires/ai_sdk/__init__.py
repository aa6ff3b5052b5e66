"""The AI SDK's UI message stream, v5, v6 and v7."""
