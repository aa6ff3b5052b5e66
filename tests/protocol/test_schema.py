"""The committed schemas are those of the types."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from jsonschema import Draft202012Validator

from tests.protocol.conversations import conversations
from turnwire_protocol import Event, UnknownEvent, encode, merge
from turnwire_protocol.schema import schemas

FOLDER = Path(__file__).parents[2] / "protocol" / "schema"
EVENTS = Draft202012Validator(json.loads(schemas()["events.json"]))


def test_the_committed_files_are_current() -> None:
    committed = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
    assert committed == schemas()


@pytest.mark.parametrize("name", sorted(schemas()))
def test_a_file_is_a_valid_json_schema_without_nulls(name: str) -> None:
    Draft202012Validator.check_schema(json.loads(schemas()[name]))
    assert "null" not in schemas()[name]


@given(conversations())
def test_every_encoded_event_fits_the_schema(log: list[Event]) -> None:
    for event in merge(log):
        if not isinstance(event, UnknownEvent):
            EVENTS.validate(json.loads(encode(event)))
