"""The conformance vectors, run by the Python package."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from turnwire_protocol import (
    BadCommand,
    BadCursor,
    BadFrame,
    Citation,
    Cursor,
    Sources,
    Verdict,
    encode,
    fails_unacknowledged,
    fold,
    format_sse_id,
    may_reconnect,
    merge,
    noted,
    parse_command,
    parse_event,
    parse_sse_id,
)
from turnwire_protocol.schema import schemas

FOLDER = Path(__file__).parents[2] / "protocol" / "vectors"
Case = dict[str, Any]

CASES: dict[str, list[tuple[str, Case]]] = {}
for path in sorted(FOLDER.glob("*.json")):
    for case in json.loads(path.read_text(encoding="utf-8"))["cases"]:
        CASES.setdefault(case["kind"], []).append((f"{path.stem}: {case['name']}", case))

COMMANDS = Draft202012Validator(json.loads(schemas()["commands.json"]))
EVENTS = Draft202012Validator(json.loads(schemas()["events.json"]))
KNOWN = set(json.loads((FOLDER.parent / "schema" / "events.json").read_text())["$defs"])


def of_kind(kind: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "case", [pytest.param(case, id=name) for name, case in CASES[kind]]
    )


def test_every_kind_of_vector_is_run() -> None:
    assert set(CASES) == {"fold", "sources", "merge", "cursor", "sse_id", "close", "command"}


@of_kind("fold")
def test_the_events_fold_to_the_normative_form(case: Case) -> None:
    assert fold(map(parse_event, case["events"])).to_dict() == case["expected"]


@of_kind("fold")
def test_the_events_and_their_encoding_fit_the_schema(case: Case) -> None:
    for data in case["events"]:
        event = parse_event(data)
        if type(event).__name__ in KNOWN:
            EVENTS.validate(data)
            EVENTS.validate(json.loads(encode(event)))


@of_kind("sources")
def test_sources_are_numbered_and_marked(case: Case) -> None:
    sources = Sources()
    texts = []
    for block in case["blocks"]:
        citations = [Citation(**each) for each in block.get("citations", ())]
        texts.append(noted(block["text"], sources.numbers(citations)))
    assert texts == case["texts"]
    assert [
        {name: value for name, value in asdict(each).items() if value is not None}
        for each in sources
    ] == case["sources"]


@of_kind("merge")
def test_the_events_merge(case: Case) -> None:
    events = [parse_event(data) for data in case["events"]]
    merged = merge(events)
    assert [json.loads(encode(event)) for event in merged] == case["merged"]
    assert fold(merged) == fold(events)


@of_kind("cursor")
def test_the_cursor_judges(case: Case) -> None:
    cursor = Cursor(**case["start"])
    verdicts, applied = [], []
    for event in map(parse_event, case["events"]):
        verdict = cursor.judge(event)
        verdicts.append(verdict.name.lower())
        if verdict is Verdict.APPLY:
            cursor.advance(event)
            applied.append(event)
    assert verdicts == case["verdicts"]
    assert cursor == Cursor(case["start"]["epoch"], case["end"])
    if "expected" in case:
        assert fold(applied).to_dict() == case["expected"]


@of_kind("sse_id")
def test_the_sse_id_is_read_and_written(case: Case) -> None:
    if case["parsed"] is None:
        with pytest.raises(BadCursor):
            parse_sse_id(case["text"])
        return
    parts = parse_sse_id(case["text"])
    assert parts == tuple(case["parsed"][name] for name in ("conversation", "epoch", "seq"))
    if case.get("canonical", True):
        assert format_sse_id(*parts) == case["text"]


@of_kind("close")
def test_the_close_code_says_what_to_do(case: Case) -> None:
    assert may_reconnect(case["code"]) == case["reconnect"]
    assert fails_unacknowledged(case["code"]) == case["fails_unacknowledged"]


@of_kind("command")
def test_the_frame_is_accepted_or_refused(case: Case) -> None:
    match case["outcome"]:
        case "accepted":
            command = parse_command(case["frame"])
            assert json.loads(command.model_dump_json(exclude_unset=True)) == case["command"]
            COMMANDS.validate(case["command"])
        case "bad_frame":
            with pytest.raises(BadFrame):
                parse_command(case["frame"])
        case _:
            with pytest.raises(BadCommand) as caught:
                parse_command(case["frame"])
            assert str(caught.value).startswith(f"{case['field']}: ")
            assert caught.value.command_id == case.get("id")


BLANK = {"is empty", "is white space", "is no block", "is a blank block"}


@of_kind("command")
def test_the_schema_refuses_what_the_server_refuses(case: Case) -> None:
    if case["outcome"] != "bad_command" or "1e999" in case["frame"]:
        return
    if case["field"] == "content" and case["name"].removeprefix("send: content ") in BLANK:
        return
    assert not COMMANDS.is_valid(json.loads(case["frame"]))
