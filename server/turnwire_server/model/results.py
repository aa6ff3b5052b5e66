"""What readers are shown of the results of the provider's own tools. Pure; knows no SDK.

Shapes: the `…_tool_result` blocks of the SDK (anthropic 2.11). One of a kind that is not known here
is shown as its JSON, cut.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from turnwire_protocol.text import clean

__all__ = ["ShownResult", "shown_of"]

_TEXT_CHARS = 2000
_MAX_FILES = 20
_NAME_CHARS = 256


@dataclass(slots=True)
class ShownResult:
    """A result in words, with what else it names."""

    text: str
    is_error: bool = False
    files: tuple[str, ...] = ()
    """Ids of files that the tool made."""
    fetched: dict[str, str] = field(default_factory=dict)
    """Address by title of a page that was fetched."""


def shown_of(block: dict[str, Any]) -> ShownResult:
    """Titles and addresses, what a program printed, or the name of an error."""
    content = block.get("content")
    is_error = bool(block.get("is_error"))
    if isinstance(content, str):
        return ShownResult(_cut(content), is_error)
    if isinstance(content, list):
        lines = [_line(item) for item in content]
        return ShownResult(_cut("\n".join(line for line in lines if line)), is_error)
    if not isinstance(content, dict):
        return ShownResult(_json(content), is_error)
    if str(content.get("type", "")).endswith("_error"):
        told = (content.get("error_code") or "error", content.get("error_message"))
        return ShownResult(_cut(": ".join(str(part) for part in told if part)), is_error=True)
    if "stdout" in content or "return_code" in content:
        return _run(content)
    if isinstance(document := content.get("content"), dict) and "url" in content:
        title, url = document.get("title"), str(content["url"])
        fetched = {title: url} if isinstance(title, str) and title.strip() else {}
        return ShownResult(_cut(" ".join(filter(None, [*fetched, url]))), is_error, fetched=fetched)
    return ShownResult(_words(content) or _json(content), is_error)


def _run(content: dict[str, Any]) -> ShownResult:
    """What a program printed, and how it ended if that was not well."""
    code = content.get("return_code")
    has_failed = isinstance(code, int) and code != 0
    printed = [str(content.get(name) or "").rstrip() for name in ("stdout", "stderr")]
    ended = [f"[exit code {code}]"] if has_failed else []
    text = _cut("\n".join([*filter(None, printed), *ended]))
    made = content.get("content")
    files = _files(made) if isinstance(made, list) else iter(())
    return ShownResult(text, has_failed, tuple(dict.fromkeys(files))[:_MAX_FILES])


def _files(made: list[Any]) -> Iterator[str]:
    for item in made:
        id = item.get("file_id") if isinstance(item, dict) else None
        if isinstance(id, str) and id.isascii() and 0 < len(id) <= _NAME_CHARS:
            yield id


def _words(content: dict[str, Any]) -> str:
    """Of an adviser, an editor and a search for tools; empty where it is none of these."""
    if isinstance(said := content.get("text", content.get("content")), str):
        return _cut(said)
    if isinstance(lines := content.get("lines"), list):
        return _cut("\n".join(map(str, lines)))
    if isinstance(references := content.get("tool_references"), list):
        named = [str(each.get("tool_name", "")) for each in references if isinstance(each, dict)]
        return _cut("\n".join(named))
    return ""


def _line(item: Any) -> str:
    if not isinstance(item, dict):
        return ""
    told = (item.get("title"), item.get("url"), item.get("text"))
    return " ".join(str(part) for part in told if part)


def _json(value: Any) -> str:
    return _cut(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def _cut(text: str) -> str:
    return clean(text[:_TEXT_CHARS])
