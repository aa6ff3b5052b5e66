"""Tools made of functions: names, schemas, and the context that is filled in."""

from collections.abc import Callable
from typing import Annotated, Any

import pytest
from anthropic import beta_async_tool, beta_tool
from fastapi import BackgroundTasks, Depends, Query, Request, Security, WebSocket
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError
from starlette.requests import HTTPConnection

from turnwire_server.errors import SettingsError
from turnwire_server.tools.define import as_tool, tool
from turnwire_server.tools.port import ToolContext


def add(a: int, b: int = 2) -> str:
    """Add two numbers.

    Args:
        a: The first.
        b: The second.
    """
    return str(a + b)


async def greet(name: str, context: ToolContext) -> str:
    """Greet somebody.

    Args:
        name: Who it is.
    """
    return f"{context.principal} greets {name}"


def test_the_schema_comes_from_types_and_docstring() -> None:
    made = tool(add)
    assert (made.name, made.description, made.is_async) == ("add", "Add two numbers.", False)
    properties = made.input_schema["properties"]
    assert (properties["a"]["type"], properties["a"]["description"]) == ("integer", "The first.")
    assert made.input_schema["required"] == ["a"]


def test_the_context_is_not_in_the_schema() -> None:
    made = tool(greet)
    assert list(made.input_schema["properties"]) == ["name"]
    assert made.is_async
    assert made.function is not None


def test_name_description_and_time_limit_can_be_given() -> None:
    made = tool(name="plus", description="Sums.", timeout_seconds=1.5)(add)
    assert (made.name, made.description, made.timeout_seconds) == ("plus", "Sums.", 1.5)


def test_the_schema_is_the_one_the_sdk_derives() -> None:
    assert tool(add).input_schema == beta_tool(add).input_schema


@pytest.mark.parametrize("candidate", [add, tool(add), beta_tool(add)])
def test_functions_tools_and_the_sdks_tools_are_all_taken(candidate: object) -> None:
    made = as_tool(candidate)
    assert made.function is not None
    assert (made.name, made.function({"a": 1})) == ("add", "3")


async def test_the_sdks_async_tool_is_taken() -> None:
    async def double(a: int) -> str:
        """Double it."""
        return str(2 * a)

    made = as_tool(beta_async_tool(double))
    assert made.is_async
    assert made.function is not None
    assert await made.function({"a": 2}) == "4"


def test_what_is_no_tool_is_refused() -> None:
    with pytest.raises(SettingsError):
        as_tool("add")


def session() -> str:
    """What a web framework would inject."""
    return "session"


def by_default(word: str, db: str = Depends(session)) -> str:
    """Look a word up."""
    return word


def annotated(word: str, db: Annotated[str, Depends(session)]) -> str:
    """Look a word up."""
    return word


async def secured(word: str, db: Annotated[str | None, Security(session)] = None) -> str:
    """Look a word up."""
    return word


def of_a_request(word: str, db: Request) -> str:
    """Look a word up."""
    return word


def of_any_connection(word: str, db: HTTPConnection | None = None) -> str:
    """Look a word up."""
    return word


async def of_a_socket(word: str, db: WebSocket) -> str:
    """Look a word up."""
    return word


def of_a_response(word: str, db: Annotated[JSONResponse, "where cookies go"]) -> str:
    """Look a word up."""
    return word


def with_background_tasks(word: str, db: BackgroundTasks) -> str:
    """Look a word up."""
    return word


INJECTED = [
    by_default,
    annotated,
    secured,
    of_a_request,
    of_any_connection,
    of_a_socket,
    of_a_response,
    with_background_tasks,
]


@pytest.mark.parametrize("make", [tool, as_tool, tool(name="other")])
@pytest.mark.parametrize("function", INJECTED)
def test_a_parameter_that_only_a_framework_gives_is_an_error_that_names_it(
    function: Callable[..., Any], make: Callable[..., Any]
) -> None:
    with pytest.raises(SettingsError) as error:
        make(function)
    assert f"'db' of '{function.__name__}'" in str(error.value)


def test_so_it_is_in_a_tool_of_the_sdk() -> None:
    with pytest.raises(SettingsError):
        as_tool(beta_tool(annotated))


def test_what_pydantic_knows_of_a_parameter_stays() -> None:
    def find(limit: Annotated[int, Query(ge=1)] = 3) -> str:
        """Find."""
        return str(limit)

    assert tool(find).input_schema["properties"]["limit"]["minimum"] == 1


class Row(BaseModel):
    """What a database gives."""

    n: int


def read(n: int) -> str:
    """Read a row."""
    return str(Row.model_validate({"n": "seven"}))


async def read_later(n: int) -> str:
    """Read a row."""
    return str(Row.model_validate({"n": "seven"}))


async def test_a_function_that_fails_inside_is_not_told_as_invalid_arguments() -> None:
    sync, later = as_tool(read), as_tool(read_later)
    assert sync.function is not None
    assert later.function is not None
    with pytest.raises(ValidationError):
        sync.function({"n": 1})
    with pytest.raises(ValidationError):
        await later.function({"n": 1})
    with pytest.raises(ValueError, match="Invalid arguments"):
        sync.function({"n": "x"})
