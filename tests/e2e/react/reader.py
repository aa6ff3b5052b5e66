"""A tab with the chat of `chat.tsx`, as its reader uses it."""

from playwright.async_api import Page, WebSocket

__all__ = ["Reader"]


class Reader:
    """`sockets` are those that the page has opened to the service; `problems` what its console
    reported, a hydration that does not match what the server rendered among it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.sockets: list[WebSocket] = []
        self.problems: list[str] = []
        page.on("websocket", self._opened)
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.status = page.locator("output")
        self.state = page.locator(".state")
        self.connection = page.locator(".connection")
        self.message = page.get_by_label("Message")
        self.questions = page.locator("article h2")
        self.texts = page.locator("article .text")
        self.thoughts = page.locator("article .thinking")
        self.ends = page.locator(".end")
        self.newest = page.locator(".newest")
        self.newest_thought = page.locator(".newest-thinking")
        self.alert = page.get_by_role("alert")

    @property
    def open_sockets(self) -> int:
        """How many of them are open."""
        return sum(not socket.is_closed() for socket in self.sockets)

    async def ask(self, text: str) -> None:
        """Type and send."""
        await self.message.fill(text)
        await self.message.press("Enter")

    async def press(self, name: str) -> None:
        """Press the button of this name, the last one where there are more."""
        await self.page.get_by_role("button", name=name).last.click()

    def _opened(self, socket: WebSocket) -> None:
        if socket.url.endswith("/v1/ws"):
            self.sockets.append(socket)

    def _heard(self, message: object) -> None:
        if getattr(message, "type", "") in ("error", "warning"):
            self.problems.append(getattr(message, "text", ""))
