"""The listening socket and uvicorn, hardened: what `serve` adds to the app.

Reasons are in the uvicorn 0.54 source: a peer that never reads pins `send()` for ever, because its
ping time-out closes the transport instead of aborting it, and pings are answered without looking at
what already waits to be written.
"""

import socket

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

__all__ = ["bind", "server_for"]

_UNREAD_MILLISECONDS = 30_000
"""How long written bytes may stay unacknowledged by the peer until the kernel gives it up."""

_MAX_UNSENT_BYTES = 256 * 1024


class HardenedProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol, with peers cut off that do not read."""

    def handle_ping(self) -> None:
        """Answer a ping, unless earlier answers pile up unread."""
        if self.transport.get_write_buffer_size() > _MAX_UNSENT_BYTES:
            self.transport.abort()
            return
        super().handle_ping()

    def keepalive_timeout(self) -> None:
        """No pong in time: abort, because a close would wait for the unread bytes first."""
        super().keepalive_timeout()
        self.transport.abort()


def bind(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        OSError: the address is in use or not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD_MILLISECONDS)
    listener.bind((host, port))
    listener.listen(2048)
    return listener


def server_for(app: FastAPI, *, max_frame_bytes: int, grace_seconds: float) -> uvicorn.Server:
    """uvicorn for the app. Query strings are not logged, so there is no access log."""
    config = uvicorn.Config(
        app,
        ws=HardenedProtocol,
        ws_max_size=max_frame_bytes,
        ws_per_message_deflate=False,
        ws_ping_interval=20,
        ws_ping_timeout=20,
        access_log=False,
        log_level="warning",
        proxy_headers=False,
        timeout_graceful_shutdown=round(grace_seconds),
    )
    return uvicorn.Server(config)
