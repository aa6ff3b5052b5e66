"""What mypy rejects. Were one of these lines right to it, its `type: ignore` would be unused, which
is an error as well (`warn_unused_ignores`, part of strict)."""

import pytest
from pydantic import ValidationError

from turnwire_protocol import Step
from turnwire_server import SettingsError, Turnwire
from turnwire_server.core.log.items import Place

PLACE: Place = {"conversation": "c_1", "seq": 1, "turn": "t_1", "at": "2026-11-25T10:00:00.000Z"}


def test_a_misspelt_field_of_an_event_is_an_error() -> None:
    with pytest.raises(ValidationError):
        Step(**PLACE, step=1, atempt=1, model="m")  # type: ignore[call-arg]


def test_a_field_of_an_event_with_another_type_is_an_error() -> None:
    with pytest.raises(ValidationError):
        Step(**PLACE, step="first", attempt=1, model="m")  # type: ignore[arg-type]


def test_a_misspelt_setting_is_an_error() -> None:
    with pytest.raises(SettingsError, match="modle"):
        Turnwire(modle="claude-sonnet-5-5")  # type: ignore[call-arg]


def test_a_setting_of_another_type_is_an_error() -> None:
    with pytest.raises(SettingsError, match="max_steps"):
        Turnwire(max_steps="many")  # type: ignore[arg-type]
