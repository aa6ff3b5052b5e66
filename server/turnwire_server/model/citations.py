"""What readers are told of the Messages API's citations. Pure; knows no SDK.

Shapes: the `…_location` types of the SDK (anthropic 2.11); of one of an unknown type, what it has
in common with these. The API's own fields, which it wants back, are the block's `raw`.
"""

from collections.abc import Mapping
from typing import Any

from turnwire_protocol import Citation
from turnwire_protocol.text import clean

__all__ = ["citations_of"]

_MAX_CITATIONS = 50
"""In one block."""
_CITED_CHARS = 1000
_TITLE_CHARS = 300
_URL_CHARS = 2048

_UNITS: tuple[tuple[Any, str, str], ...] = (
    ("char", "start_char_index", "end_char_index"),
    ("page", "start_page_number", "end_page_number"),
    ("block", "start_block_index", "end_block_index"),
)


def citations_of(cited: Any, fetched: Mapping[str, str]) -> list[Citation] | None:
    """The citations of a text block; None: there is none.

    `fetched`: addresses by title, of the pages that were fetched in the same answer. Their
    citations name the title alone.
    """
    if not isinstance(cited, list):
        return None
    given = [location for location in cited if isinstance(location, dict)][:_MAX_CITATIONS]
    return [_citation(location, fetched) for location in given] or None


def _citation(location: dict[str, Any], fetched: Mapping[str, str]) -> Citation:
    source = location.get("source")
    title = _text(location.get("title") or location.get("document_title"), _TITLE_CHARS)
    url = _url(location.get("url")) or _url(source)
    document = _count(location.get("document_index"))
    if document is not None and title is not None:
        url = url or _url(fetched.get(title))
    if title is None and url is None:
        # Of a search result of the operator's own: any name.
        title = _text(source, _TITLE_CHARS)
    unit, start, end = _place(location)
    return Citation(
        cited_text=_text(location.get("cited_text"), _CITED_CHARS) or "",
        title=title,
        url=url,
        document=document,
        unit=unit,
        start=start,
        end=end,
    )


def _place(location: dict[str, Any]) -> tuple[Any, int | None, int | None]:
    for unit, first, last in _UNITS:
        if (start := _count(location.get(first))) is not None:
            return unit, start, _count(location.get(last))
    return None, None, None


def _text(value: Any, chars: int) -> str | None:
    if not isinstance(value, str) or not value.strip():
        return None
    return clean(value[:chars])


def _url(value: Any) -> str | None:
    """An address that readers may be led to; a cut one would be another."""
    if not isinstance(value, str) or len(value) > _URL_CHARS:
        return None
    is_address = value.lower().startswith(("https://", "http://"))
    if not is_address or any(
        character.isspace() or not character.isprintable() for character in value
    ):
        return None
    scheme, rest = value.split(":", 1)
    return f"{scheme.lower()}:{rest}"


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
