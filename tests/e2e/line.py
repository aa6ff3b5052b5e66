"""The WebSocket of a page, on which a test can hold back what the service sends."""

import json
from collections.abc import Callable
from typing import Any, Self

from playwright.async_api import Page, WebSocketRoute

__all__ = ["Line"]


class Line:
    """Passes frames on until the test has it hold them; then they wait, in order, to be let go.

    A state that the service leaves by itself stays on the page for as long as its frames are held,
    so that a test can look at it on a machine of any speed.
    """

    def __init__(self) -> None:
        self.socket: WebSocketRoute
        """The newest connection of the page."""
        self._holds_from: Callable[[Any], bool] = lambda message: False
        self._held: list[str | bytes] | None = None

    @classmethod
    async def of(cls, page: Page) -> Self:
        """Between a page that is not loaded yet and its service."""
        line = cls()
        await page.route_web_socket("**/v1/ws", line._connect)
        return line

    def hold(self, first: Callable[[Any], bool] = lambda message: True) -> None:
        """Holds frames back, beginning with the first message for which this is true."""
        self._holds_from = first

    def let_go(self) -> None:
        """Gives the page what was held, and whatever comes from now on."""
        frames, self._held = self._held or [], None
        self._holds_from = lambda message: False
        for frame in frames:
            self.socket.send(frame)

    def _connect(self, socket: WebSocketRoute) -> None:
        self.socket = socket
        server = socket.connect_to_server()
        server.on_message(lambda frame: self._receive(socket, frame))

    def _receive(self, socket: WebSocketRoute, frame: str | bytes) -> None:
        if self._held is None and self._holds_from(json.loads(frame)):
            self._held = []
        if self._held is None:
            socket.send(frame)
        else:
            self._held.append(frame)
