"""WebSocket frames in and out: reading one within bounds, closing, rejecting; knows no commands."""

from starlette.websockets import WebSocket, WebSocketDisconnect

from turnwire_protocol import BadCommand, CloseCode, Code, Reject, encode, is_retryable
from turnwire_server.errors import Rejected

__all__ = ["Closing", "receive_text", "reject", "reject_bad"]


class Closing(Exception):
    """The connection is to be closed by us."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


async def receive_text(socket: WebSocket, *, max_bytes: int) -> str:
    """The next text frame.

    Raises:
        Closing: it is binary or has more than `max_bytes` of UTF-8.
        WebSocketDisconnect: the peer is gone.
    """
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message["code"], message.get("reason"))
    text = message.get("text")
    if not isinstance(text, str):
        raise Closing(CloseCode.VIOLATION, "binary frames are not part of the protocol")
    if len(text) > max_bytes or len(text.encode()) > max_bytes:
        raise Closing(CloseCode.TOO_LARGE, f"frames are at most {max_bytes} bytes")
    return text


def reject(command_id: str | None, refused: Rejected) -> str:
    """The frame that says a command took no effect."""
    return encode(
        Reject(
            id=command_id,
            code=refused.code,
            message=refused.message,
            retryable=refused.retryable,
            retry_after_seconds=refused.retry_after_seconds,
        )
    )


def reject_bad(error: BadCommand) -> str:
    """The frame that says an object was no command."""
    code = Code.BAD_COMMAND
    return encode(
        Reject(id=error.command_id, code=code, message=str(error), retryable=is_retryable(code))
    )
