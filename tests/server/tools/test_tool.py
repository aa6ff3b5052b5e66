"""Tools made of functions: names, schemas, and the context that is filled in."""

import pytest
from anthropic import beta_async_tool, beta_tool

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
