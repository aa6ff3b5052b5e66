"""The exceptions of the protocol package.

ProtocolError
├── BadFrame      not a JSON object: the connection closes
├── BadCommand    a JSON object, but no command: it is rejected and the connection lives
└── BadCursor     a text that is no cursor
"""

__all__ = ["BadCommand", "BadCursor", "BadFrame", "ProtocolError"]


class ProtocolError(Exception):
    """Something received is not turnwire.v1."""


class BadFrame(ProtocolError):
    """A frame that is not a JSON object."""


class BadCommand(ProtocolError):
    """A JSON object that is not a command; `command_id` is its `id` where it has a usable one."""

    def __init__(self, message: str, *, command_id: str | None = None) -> None:
        super().__init__(message)
        self.command_id = command_id


class BadCursor(ProtocolError):
    """A text that should be `conversation:epoch:seq` and is not."""
