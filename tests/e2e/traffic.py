"""What a page has of the network, as Chromium's DevTools protocol tells it; it knows no page."""

from collections.abc import Mapping
from typing import Any, Self

from playwright.async_api import Page

__all__ = ["Traffic"]


class Traffic:
    """Counts from `of`, or the last `forget`, on. A WebSocket is a request.

    Bytes are those that came: heads, bodies as they were encoded, and the payloads of frames.
    """

    def __init__(self) -> None:
        self.requests: list[str] = []
        """The addresses, without what was there already."""
        self.received = 0
        self._addresses: dict[str, str] = {}

    @classmethod
    async def of(cls, page: Page, line: Mapping[str, object] | None = None) -> Self:
        """Of a page that is not loaded yet; `line` is a line of its own for it, as
        `Network.emulateNetworkConditions` describes it.
        """
        traffic = cls()
        session = await page.context.new_cdp_session(page)
        session.on("Network.requestWillBeSent", traffic._asks)
        session.on("Network.requestServedFromCache", traffic._had)
        session.on("Network.webSocketCreated", lambda of: traffic.requests.append(of["url"]))
        session.on("Network.loadingFinished", traffic._finished)
        session.on("Network.webSocketFrameReceived", traffic._frame)
        await session.send("Network.enable")
        if line is not None:
            await session.send("Network.emulateNetworkConditions", dict(line))
        return traffic

    def forget(self) -> None:
        """Begin again."""
        self.requests.clear()
        self._addresses.clear()
        self.received = 0

    def _asks(self, event: dict[str, Any]) -> None:
        address = event["request"]["url"]
        if address.startswith("http"):
            self._addresses[event["requestId"]] = address
            self.requests.append(address)

    def _had(self, event: dict[str, Any]) -> None:
        if address := self._addresses.pop(event["requestId"], None):
            self.requests.remove(address)

    def _finished(self, event: dict[str, Any]) -> None:
        self.received += int(event["encodedDataLength"])

    def _frame(self, event: dict[str, Any]) -> None:
        self.received += len(event["response"]["payloadData"].encode())
