"""Cuts growing Markdown where nothing that follows can change what was said; pure."""

__all__ = ["Paragraphs"]


class Paragraphs:
    """Text goes in as it comes; what is finished comes out, the rest is `open`.

    A blank line finishes what is before it, but not inside a code fence, and not where the next
    line may belong to it still: a list's next item, or an indented line.
    """

    def __init__(self) -> None:
        self.open = ""
        self._scanned = 0
        self._fence = ""
        self._blank_at: int | None = None

    def feed(self, text: str) -> str:
        """Add text; returns the Markdown that this finished, empty if nothing."""
        self.open += text
        finished = 0
        while (end := self.open.find("\n", self._scanned)) >= 0:
            line = self.open[self._scanned : end]
            finished = self._end_before(line) or finished
            self._follow_fence(line.strip())
            self._scanned = end + 1
            if not line.strip() and not self._fence:
                self._blank_at = self._scanned
        finished = self._end_before(self.open[self._scanned :]) or finished
        head, self.open = self.open[:finished], self.open[finished:]
        self._scanned -= finished
        if self._blank_at is not None:
            self._blank_at -= finished
        return head

    def _end_before(self, line: str) -> int:
        """Where what is finished ends, if this line, perhaps begun only, shows that; else 0."""
        if self._blank_at is None or not line.strip() or _may_continue(line):
            return 0
        finished, self._blank_at = self._blank_at, None
        return finished

    def close(self) -> str:
        """End of the text: return what is still open."""
        rest, self.open = self.open, ""
        self._scanned, self._fence, self._blank_at = 0, "", None
        return rest

    def _follow_fence(self, line: str) -> None:
        mark = line[: len(line) - len(line.lstrip("`~"))]
        if not self._fence:
            self._fence = mark if len(mark) >= 3 and len(set(mark)) == 1 else ""
        elif line.startswith(self._fence) and not line.strip(self._fence[0]):
            self._fence = ""


def _may_continue(line: str) -> bool:
    number = line.lstrip("0123456789")
    return line[0] in " \t-*+>|" or (number != line and number[:1] in ("", ".", ")"))
