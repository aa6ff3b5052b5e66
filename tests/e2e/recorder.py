"""Every text that an element of a page has shown, however short a time; it asserts nothing."""

from typing import Self

from playwright.async_api import JSHandle, Page

from tests.kit.patience import patience

__all__ = ["Recorder"]

# A mutation observer is called before the page does anything else, so that no text is missed.
_RECORD = """(selector) => {
  const texts = [];
  const waiting = new Set();
  const look = () => {
    const found = document.querySelector(selector);
    if (!found || found.hidden || found.textContent === texts.at(-1)) return;
    texts.push(found.textContent);
    for (const check of waiting) check();
  };
  const all = { attributes: true, characterData: true, childList: true, subtree: true };
  new MutationObserver(look).observe(document.body, all);
  look();
  const until = (text) => new Promise((resolve) => {
    const check = () => {
      if (texts.some((shown) => shown.includes(text))) resolve(texts);
    };
    waiting.add(check);
    check();
  });
  return { until };
}"""


class Recorder:
    """Records from `of` on what the first element of a selector shows, until the page is left.

    For words that the page takes back by itself: who waits for them with `expect` looks now and
    then, and on a busy machine comes too late.
    """

    def __init__(self, record: JSHandle) -> None:
        self._record = record

    @classmethod
    async def of(cls, page: Page, selector: str) -> Self:
        """Begins to record."""
        return cls(await page.evaluate_handle(_RECORD, selector))

    async def until(self, text: str) -> list[str]:
        """All texts so far, in order, as soon as one of them contains this."""
        async with patience():
            texts: list[str] = await self._record.evaluate(
                "(record, text) => record.until(text)", text
            )
        return texts
