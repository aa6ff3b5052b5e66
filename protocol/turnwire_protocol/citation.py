"""Where something that an answer says was read, and what an answer cites in all; pure.

`Sources` and `noted` are what every reader numbers sources by: PROTOCOL.md "Sources".
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Citation", "Source", "Sources", "noted"]


class Citation(BaseModel):
    """Where a text block's statement was read. What there is of it depends on what was cited."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    cited_text: str = ""
    title: str | None = None
    url: str | None = Field(default=None, pattern="^https?://")
    document: int | None = Field(
        default=None, ge=0, description="which of the documents the model was shown, from 0"
    )
    unit: Literal["char", "page", "block"] | None = Field(
        default=None, description="what `start` and `end` count; pages from 1, others from 0"
    )
    start: int | None = Field(default=None, ge=0)
    end: int | None = Field(default=None, ge=0, description="exclusive")


@dataclass(frozen=True, slots=True)
class Source:
    """A page or document that an answer cites, once however often it does; numbered from 1."""

    number: int
    title: str
    url: str | None = None


class Sources:
    """Numbers the sources of one answer in the order in which they are first cited."""

    def __init__(self) -> None:
        self._sources: dict[tuple[str | None, int | None, str | None], Source] = {}

    def __iter__(self) -> Iterator[Source]:
        return iter(self._sources.values())

    def numbers(self, citations: Iterable[Citation] | None) -> list[int]:
        """The numbers of a block's sources, each once, in the order of its citations."""
        return list(dict.fromkeys(self._number(citation) for citation in citations or ()))

    def _number(self, citation: Citation) -> int:
        if citation.url is not None:
            key: tuple[str | None, int | None, str | None] = (citation.url, None, None)
        else:
            key = (None, citation.document, citation.title)
        if key not in self._sources:
            title = citation.title or citation.url or citation.cited_text
            self._sources[key] = Source(len(self._sources) + 1, title, citation.url)
        return self._sources[key].number


def noted(text: str, numbers: Iterable[int], mark: str = "[^source-{}]") -> str:
    """The text of a block with a mark for each of its sources, before the white space at its end.

    `mark` is a format of one number; the default is a note of Markdown.
    """
    marks = "".join(map(mark.format, numbers))
    said = text.rstrip(" \t\r\n")
    return f"{said}{marks}{text[len(said) :]}" if marks else text
