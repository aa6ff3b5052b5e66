"""The flags of `turnwire serve`, out of the settings."""

from typing import Any, Literal, get_origin

import click
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from turnwire_server.core.turn.options import Policy
from turnwire_server.settings import Settings

__all__ = ["flags"]


def flags() -> list[click.Parameter]:
    """All of them: where and how to run first, then what turns live by."""
    fields = sorted(Settings.model_fields.items(), key=lambda item: item[0] in Policy.model_fields)
    return [_option(name, field) for name, field in fields]


def _option(name: str, field: FieldInfo) -> click.Option:
    """The flag of a setting: its help is the setting's own description."""
    origin = get_origin(field.annotation) or field.annotation
    help = (field.description or "").replace("\n", " ").replace("`", "")
    if origin is bool:
        flag = name.replace("_", "-")
        return click.Option([f"--{flag}/--no-{flag}"], default=None, help=help)
    many = origin in (list, frozenset)
    kind: Any = origin if origin in (int, float) else str
    if origin not in (int, float, str, list, frozenset, Literal) and "None" not in str(
        field.annotation
    ):
        help += " (JSON)"
    default = field.get_default(call_default_factory=True)
    shown = None if default in (None, [], {}, PydanticUndefined) or many else default
    if shown is not None and not isinstance(shown, str | int | float):
        shown = None
    return click.Option(
        [f"--{name.replace('_', '-')}"],
        type=kind,
        multiple=many,
        default=None,
        help=help,
        show_default=False if shown is None else str(shown),
        metavar="TEXT..." if many else None,
    )
