"""What can go wrong in the simulator itself; knows no HTTP.

SimulatorError
├── Rejected      a request the Claude API would refuse
└── ScriptError   an answer that cannot be played as it was written
"""

__all__ = ["Rejected", "ScriptError", "SimulatorError"]


class SimulatorError(Exception):
    """Root of everything this package raises."""


class Rejected(SimulatorError):
    """A request the Claude API would refuse; `status`, `type`, `code` and `message` are its answer.

    Source: https://docs.claude.com/en/api/errors
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        type: str = "invalid_request_error",
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.type = type
        self.code = code

    def __str__(self) -> str:
        return f"{self.status} {self.type}: {self.message}"


class ScriptError(SimulatorError):
    """An answer names an event index it does not have."""

    def __init__(self, index: int, events: int) -> None:
        super().__init__(index, events)
        self.index = index
        self.events = events

    def __str__(self) -> str:
        return f"no position {self.index} in an answer of {self.events} events"
