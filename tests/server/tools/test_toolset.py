"""The toolset: what the model is shown of a call, whatever the tool does."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from anthropic import beta_tool
from anthropic.lib.tools import ToolError

from turnwire_protocol import TextBlock
from turnwire_server.errors import SettingsError
from turnwire_server.tools.tool import Tool, ToolContext, tool
from turnwire_server.tools.toolset import Outcome, Toolset

CONTEXT = ToolContext("alice", "c_1", "t_1", "toolu_1", report=lambda message, fraction: None)
PATIENCE_SECONDS = 10


async def run(candidate: object, input: dict[str, Any] | None = None, **options: Any) -> Outcome:
    tools = Toolset([candidate], **options)
    [name] = tools.names
    assert tools.problem(name, input or {}) is None
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await tools.run(name, input or {}, CONTEXT)


def giving(value: Any) -> Callable[[], Any]:
    def give() -> Any:
        """Give."""
        return value

    return give


def raising(error: BaseException, *, is_async: bool) -> Callable[[], Any]:
    def fail() -> None:
        """Fail."""
        raise error

    async def fail_later() -> None:
        """Fail."""
        raise error

    return fail_later if is_async else fail


RETURNS: dict[str, tuple[Any, Any]] = {
    "text": ("Hi", "Hi"),
    "nothing": (None, ""),
    "an object": ({"a": [1, None]}, '{"a":[1,null]}'),
    "a list": ([1, 2], "[1,2]"),
    "anything": (object, "<class 'object'>".join('""')),
    "blocks": ([{"type": "text", "text": "Hi"}], [TextBlock(text="Hi")]),
    "blocks with a blank one, which the API refuses": (
        [{"type": "text", "text": " "}, {"type": "text", "text": "Hi"}],
        [TextBlock(text="Hi")],
    ),
    "half a surrogate pair": ("a\ud83d", "a?"),
}


@pytest.mark.parametrize(("value", "content"), RETURNS.values(), ids=RETURNS)
async def test_what_a_tool_returns_goes_to_the_model(value: Any, content: Any) -> None:
    assert await run(giving(value)) == Outcome(content)


async def test_a_long_result_is_cut_and_says_so() -> None:
    outcome = await run(giving("x" * 50_010))
    assert outcome == Outcome("x" * 50_000 + "\n[cut here: 10 more characters]")


FAILURES: dict[str, tuple[BaseException, str]] = {
    "an exception": (ValueError("no such city"), "ValueError: no such city"),
    "its own time-out": (TimeoutError("upstream"), "TimeoutError: upstream"),
    "the SDK's error": (ToolError("Sold out."), "Sold out."),
    "an exit": (SystemExit(2), "SystemExit: 2"),
    "bytes as content": (
        type("HttpError", (Exception,), {"content": b"\xff"})("gone"),
        "HttpError: gone",
    ),
    "half a surrogate pair": (ValueError("\ud83d"), "ValueError: ?"),
}


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize(("error", "text"), FAILURES.values(), ids=FAILURES)
async def test_what_a_tool_raises_is_an_error_result(
    error: BaseException, text: str, is_async: bool
) -> None:
    assert await run(raising(error, is_async=is_async)) == Outcome(text, is_error=True)


async def test_a_cancellation_inside_the_tool_is_an_error_result() -> None:
    outcome = await run(raising(asyncio.CancelledError(), is_async=True))
    assert outcome == Outcome("The tool was cancelled.", is_error=True)


async def test_cancelling_the_call_cancels_the_tool() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        """Wait."""
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    call = asyncio.create_task(run(wait))
    await begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert ended.is_set()


async def test_an_async_tool_over_its_time_is_cancelled() -> None:
    async def wait() -> None:
        """Wait."""
        await asyncio.Event().wait()

    outcome = await run(tool(timeout_seconds=0.01)(wait))
    assert outcome == Outcome("The tool did not finish within 0.01 seconds.", is_error=True)


async def test_a_sync_tool_over_its_time_is_abandoned() -> None:
    release, ended = threading.Event(), threading.Event()

    def wait() -> str:
        """Wait."""
        release.wait(PATIENCE_SECONDS)
        ended.set()
        return "late"

    outcome = await run(wait, timeout_seconds=0.01)
    assert outcome == Outcome("The tool did not finish within 0.01 seconds.", is_error=True)
    release.set()
    assert await asyncio.to_thread(ended.wait, PATIENCE_SECONDS)


@pytest.mark.parametrize("is_async", [True, False])
async def test_the_context_is_filled_in(is_async: bool) -> None:
    def who(greeting: str, context: ToolContext) -> str:
        """Who."""
        return f"{greeting} {context.principal}"

    async def who_later(greeting: str, context: ToolContext) -> str:
        """Who."""
        return f"{greeting} {context.principal}"

    outcome = await run(who_later if is_async else who, {"greeting": "Hi"})
    assert outcome == Outcome("Hi alice")


def count(n: int) -> int:
    """Count."""
    return n


PROBLEMS: dict[str, tuple[str, dict[str, Any] | None, str]] = {
    "unknown": ("nothing", {}, "There is no tool 'nothing'."),
    "not an object": ("count", None, "The input was not a JSON object."),
    "missing": ("count", {}, "Invalid input at $: 'n' is a required property"),
    "wrong type": ("count", {"n": "x"}, "Invalid input at $.n: 'x' is not of type 'integer'"),
}


@pytest.mark.parametrize(("name", "input", "problem"), PROBLEMS.values(), ids=PROBLEMS)
def test_a_call_that_cannot_run_has_a_problem_in_words(
    name: str, input: dict[str, Any] | None, problem: str
) -> None:
    assert Toolset([count]).problem(name, input) == problem


def test_the_words_about_a_huge_input_are_bounded() -> None:
    problem = Toolset([count]).problem("count", {"n": "x" * 100_000})
    assert problem is not None
    assert len(problem) < 2000


def test_specifications_are_those_asked_for_in_that_order() -> None:
    tools = Toolset([count, beta_tool(giving(1))])
    names = [
        specification["name"]
        for specification in tools.subset(["give", "x", "count"]).specifications()
    ]
    assert names == ["give", "count"]
    assert set(tools.subset(["count"]).specifications()[0]) == {
        "name",
        "description",
        "input_schema",
    }


async def test_a_subset_has_only_the_tools_named() -> None:
    tools = Toolset([count, giving(1)]).subset(["count", "nothing"])
    assert tools.names == ["count"]
    assert tools.problem("give", {}) == "There is no tool 'give'."
    assert await tools.run("count", {"n": 3}, CONTEXT) == Outcome("3")


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(SettingsError):
        Toolset([count, count])


def test_a_schema_that_is_none_is_refused() -> None:
    broken = Tool("t", "d", {"type": "no such type"}, function=str, is_async=False)
    with pytest.raises(SettingsError):
        Toolset([broken])
