"""The type that an answer's data is to have: as the server is told, and as the caller gets it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Generic, Self

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import to_json

from turnwire.errors import BadArgument, BadOutput
from turnwire.reply import OutputT, Reply
from turnwire_protocol import OutputFormat, first_problem

__all__ = ["OutputType"]


class OutputType(Generic[OutputT]):
    """What a send's `output_format` asks for; `format` is it on the wire, None: nothing."""

    def __init__(
        self,
        format: dict[str, object] | None = None,
        adapter: TypeAdapter[OutputT] | None = None,
    ) -> None:
        """Without `adapter` the data stays as JSON has it."""
        self.format = format
        self._adapter = adapter

    @classmethod
    def of(cls, wanted: type[OutputT] | OutputFormat | Mapping[str, Any] | None) -> Self:
        """That of a type, or of a format as it is sent.

        Raises:
            BadArgument: there is no JSON schema of the type.
        """
        if wanted is None:
            return cls()
        if isinstance(wanted, Mapping):
            return cls(dict(wanted))
        try:
            adapter: TypeAdapter[OutputT] = TypeAdapter(wanted)
            return cls({"type": "json_schema", "schema": adapter.json_schema()}, adapter)
        except PydanticUserError as error:
            raise BadArgument(f"output_format: there is no JSON schema of {wanted!r}") from error

    def read(self, reply: Reply) -> Reply[OutputT]:
        """The reply with its data in the type.

        Raises:
            BadOutput: it is not of the type; `.reply` holds it as it came.
        """
        if self._adapter is None or reply.output is None:
            return reply
        try:
            # As JSON, which has other forms than Python for dates, tuples and the like.
            output = self._adapter.validate_json(to_json(reply.output))
        except ValidationError as error:
            raise BadOutput(first_problem(error), reply=reply) from error
        return replace(reply, output=output)
