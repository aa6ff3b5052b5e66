"""Who watches the service, and how it is told: spans, metrics, lines of the log."""
