"""PROTOCOL.md and the types name the same messages, fields, codes and reasons."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from turnwire_protocol import CloseCode, Code, Command, Reply, StopReason, is_retryable
from turnwire_protocol.events import KnownEvent

DOCUMENT = (Path(__file__).parents[2] / "protocol" / "PROTOCOL.md").read_text(encoding="utf-8")
EVERYWHERE = {"type", "conversation", "seq", "turn", "at", "id"}


def messages(union: Any) -> dict[str, type[BaseModel]]:
    return {model.model_fields["type"].default: model for model in get_args(get_args(union)[0])}


def chapter(title: str) -> str:
    return re.split(r"^## ", DOCUMENT.split(f"\n## {title}\n", 1)[1], flags=re.MULTILINE)[0]


def headings(title: str) -> dict[str, str]:
    parts = re.split(r"^### (\w+)$", chapter(title), flags=re.MULTILINE)
    assert len(parts) % 2, "a heading that is not a wire type"
    return dict(zip(parts[1::2], parts[2::2], strict=True))


UNIONS = {"Commands": Command, "Replies": Reply, "Events": KnownEvent}
MODELS = [
    pytest.param(title, name, model, id=name)
    for title, union in UNIONS.items()
    for name, model in messages(union).items()
]


@pytest.mark.parametrize("title", UNIONS)
def test_the_headings_are_the_wire_types(title: str) -> None:
    assert set(headings(title)) == set(messages(UNIONS[title]))


@pytest.mark.parametrize(("title", "name", "model"), MODELS)
def test_the_name_on_the_wire_is_the_class(title: str, name: str, model: type[BaseModel]) -> None:
    assert model.__name__ == "".join(part.capitalize() for part in name.split("_"))


@pytest.mark.parametrize(("title", "name", "model"), MODELS)
def test_every_field_is_documented_and_no_other(
    title: str, name: str, model: type[BaseModel]
) -> None:
    text = headings(title)[name]
    documented = set(re.findall(r"^\| `(\w+)`", text, flags=re.MULTILINE))
    assert documented - EVERYWHERE == set(model.model_fields) - EVERYWHERE
    assert "Direction:" in text
    assert "```json" in text


def test_every_code_is_documented_with_its_retryability() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (yes|no) \|", chapter("Codes"), flags=re.MULTILINE)
    assert dict(rows) == {code: "yes" if is_retryable(code) else "no" for code in Code}


def test_every_stop_reason_is_documented() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", chapter("Stop reasons"), flags=re.MULTILINE)
    assert rows == list(StopReason)


def test_every_close_code_is_documented() -> None:
    documented = {int(code) for code in re.findall(r"\b[1-4]\d{3}\b", chapter("Closing"))}
    assert set(CloseCode) <= documented
