"""The toolset: what the model is shown of a call, whatever the tool does."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import pytest
from anthropic import beta_tool
from anthropic.lib.tools import ToolError

from tests.kit.patience import PATIENCE_SECONDS, patience
from turnwire_protocol import Attachment, Code, Content, ImageBlock, TextBlock
from turnwire_server.errors import Rejected, SettingsError
from turnwire_server.tools.define import as_tool, tool
from turnwire_server.tools.port import Approval, Tool, ToolContext
from turnwire_server.tools.toolset import Outcome, Toolset

CONTEXT = ToolContext("alice", "c_1", "t_1", "toolu_1", report=lambda message, fraction: None)


def toolset(*candidates: object) -> Toolset:
    return Toolset(map(as_tool, candidates))


async def run(candidate: object, input: dict[str, Any] | None = None, **options: Any) -> Outcome:
    tools = Toolset([as_tool(candidate)], **options)
    [name] = tools.names
    assert tools.problem(name, input or {}) is None
    async with patience():
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


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
REFERENCE = ImageBlock(blob=f"b_{1:032x}", media_type="image/png", bytes=2)


class OneShelf:
    """Takes PNGs, which are all one blob; knows that one, of Alice."""

    async def keep(self, owner: str, data: str, media_type: str) -> Attachment:
        """See `Shelf.keep`."""
        assert owner == "alice"
        if media_type != "image/png":
            raise Rejected(Code.BAD_COMMAND, "no such type")
        if data != "aGk=":
            raise ValueError(data)
        return REFERENCE

    async def check(self, owner: str, content: Content) -> None:
        """See `Shelf.check`."""
        if (owner, content) != ("alice", [REFERENCE]):
            raise Rejected(Code.BAD_COMMAND, "no such blob")


ATTACHMENTS: dict[str, tuple[Any, Any]] = {
    "an image": (IMAGE, REFERENCE),
    "a reference": (REFERENCE.model_dump(), REFERENCE),
    "a text document": (
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Hi"}},
        TextBlock(text="Hi"),
    ),
}


@pytest.mark.parametrize(("block", "content"), ATTACHMENTS.values(), ids=ATTACHMENTS)
async def test_a_block_becomes_what_the_log_holds(block: Any, content: Any) -> None:
    assert await run(giving([block]), shelf=OneShelf()) == Outcome([content])


LEFT_OUT: dict[str, Any] = {
    "no base64": {"type": "base64", "media_type": "image/png", "data": "?"},
    "another type": {"type": "base64", "media_type": "image/tiff", "data": "aGk="},
    "an address": {"type": "url", "url": "http://example.com/a.png"},
    "nothing": None,
}


@pytest.mark.parametrize("source", LEFT_OUT.values(), ids=LEFT_OUT)
async def test_an_image_that_cannot_be_stored_is_named_beside_what_can(source: Any) -> None:
    outcome = await run(giving([{"type": "image", "source": source}, IMAGE]), shelf=OneShelf())
    content = outcome.content
    assert isinstance(content[0], TextBlock)
    assert "image left out" in content[0].text
    assert (content[1:], outcome.is_error) == ([REFERENCE], False)


async def test_a_reference_to_a_foreign_blob_is_left_out() -> None:
    foreign = {**REFERENCE.model_dump(), "blob": f"b_{2:032x}"}
    content = (await run(giving([foreign]), shelf=OneShelf())).content
    assert [type(block) for block in content] == [TextBlock]


async def test_more_images_than_a_result_may_have_are_left_out() -> None:
    content = (await run(giving([IMAGE] * 21), shelf=OneShelf())).content
    assert [type(block) for block in content] == [ImageBlock] * 20 + [TextBlock]


async def test_an_error_may_show_an_image_and_one_of_blank_blocks_says_its_type() -> None:
    error = ToolError([cast(Any, IMAGE)])
    shown = await run(raising(error, is_async=True), shelf=OneShelf())
    assert shown == Outcome([REFERENCE], is_error=True)
    blank = await run(raising(ToolError([{"type": "text", "text": " "}]), is_async=True))
    assert isinstance(blank.content, str)
    assert blank.content.startswith("ToolError")


async def test_long_blocks_are_cut_together_and_say_so() -> None:
    blocks = [{"type": "text", "text": letter * 30_000} for letter in "abc"]
    assert await run(giving(blocks)) == Outcome(
        [
            TextBlock(text="a" * 30_000),
            TextBlock(text="b" * 20_000),
            TextBlock(text="[cut here: 40000 more characters]"),
        ]
    )


async def test_a_long_result_is_cut_and_says_so() -> None:
    outcome = await run(giving("x" * 50_010))
    assert outcome == Outcome("x" * 50_000 + "\n[cut here: 10 more characters]")


class Panic(BaseException):
    """As pyo3 raises when Rust code panics: no `Exception`."""


class Unprintable(Exception):
    """Its text cannot be had."""

    def __str__(self) -> str:
        raise Panic


class Unaskable(Exception):
    """Whoever looks at its content gets another error."""

    @property
    def content(self) -> str:
        """Cannot be had."""
        raise Panic


FAILURES: dict[str, tuple[BaseException, str]] = {
    "an exception": (ValueError("no such city"), "ValueError: no such city"),
    "its own time-out": (TimeoutError("upstream"), "TimeoutError: upstream"),
    "the SDK's error": (ToolError("Sold out."), "Sold out."),
    "an exit": (SystemExit(2), "SystemExit: 2"),
    "an interrupt": (KeyboardInterrupt(), "KeyboardInterrupt: "),
    "the end of a generator": (GeneratorExit("closed"), "GeneratorExit: closed"),
    "a panic": (Panic("index out of bounds"), "Panic: index out of bounds"),
    "a group": (
        BaseExceptionGroup("two", [ValueError("a"), ExceptionGroup("", [KeyError("b")])]),
        "ValueError: a; KeyError: 'b'",
    ),
    "a group of many": (
        ExceptionGroup("many", [ValueError(str(number)) for number in range(7)]),
        "ValueError: 0; ValueError: 1; ValueError: 2; ValueError: 3; ValueError: 4; and 2 more",
    ),
    "no text": (Unprintable(), "Unprintable, which cannot be printed"),
    "no content": (Unaskable("gone"), "Unaskable: gone"),
    "bytes as content": (
        type("HttpError", (Exception,), {"content": b"\xff"})("gone"),
        "HttpError: gone",
    ),
    "half a surrogate pair": (ValueError("\ud83d"), "ValueError: ?"),
}


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize(("error", "text"), FAILURES.values(), ids=FAILURES)
async def test_what_a_tool_raises_is_an_error_result_and_a_line_in_the_log(
    error: BaseException, text: str, is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    assert await run(raising(error, is_async=is_async)) == Outcome(text, is_error=True)
    (line,) = caplog.messages
    assert line.startswith("tool fail")


def test_an_exit_in_a_tool_does_not_end_the_event_loop() -> None:
    async def main() -> list[Outcome]:
        fails = raising(SystemExit(3), is_async=True), raising(KeyboardInterrupt(), is_async=True)
        return [await asyncio.create_task(run(fail)) for fail in fails]

    assert [outcome.is_error for outcome in asyncio.run(main())] == [True, True]


async def test_what_a_result_raises_when_it_is_shown_is_an_error_result() -> None:
    class Unshowable:
        def __str__(self) -> str:
            raise Panic("no text")

    outcome = await run(giving({"a": Unshowable()}))
    assert (outcome.is_error, "no text" in str(outcome.content)) == (True, True)


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


async def stubbornly(release: asyncio.Event) -> None:
    """Wait until it is released, whoever cancels."""
    while not release.is_set():
        with suppress(asyncio.CancelledError):
            await release.wait()


async def test_an_async_tool_that_swallows_its_cancellation_is_abandoned(
    caplog: pytest.LogCaptureFixture,
) -> None:
    release, ended = asyncio.Event(), asyncio.Event()

    async def wait() -> str:
        """Wait."""
        await stubbornly(release)
        ended.set()
        return "late"

    outcome = await run(wait, timeout_seconds=0.01, stop_seconds=0.01)
    assert outcome == Outcome("The tool did not finish within 0.01 seconds.", is_error=True)
    assert caplog.messages == ["tool wait does not stop when it is cancelled: abandoned"]
    release.set()
    async with patience():
        await ended.wait()


async def test_cancelling_the_call_of_a_tool_that_swallows_it_ends_the_call() -> None:
    begun, release = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        """Wait."""
        begun.set()
        await stubbornly(release)

    call = asyncio.create_task(run(wait, stop_seconds=0.01))
    await begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    release.set()


async def test_a_tool_of_which_too_many_calls_go_on_is_not_started_but_others_are() -> None:
    release = asyncio.Event()
    begun = 0

    async def wait() -> None:
        """Wait."""
        nonlocal begun
        begun += 1
        await stubbornly(release)

    tools = Toolset(
        map(as_tool, [wait, tool(name="other")(raising(ToolError("Other."), is_async=True))]),
        timeout_seconds=0.01,
        stop_seconds=0.01,
        max_abandoned=2,
    )
    outcomes = [await tools.run("wait", {}, CONTEXT) for _ in range(3)]
    other = await tools.run("other", {}, CONTEXT)
    release.set()
    assert begun == 2
    assert all(outcome.is_error for outcome in outcomes)
    assert "not started" in str(outcomes[2].content)
    assert other == Outcome("Other.", is_error=True)


class Blocking:
    """A sync tool that returns once it is released."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.ended = threading.Semaphore(0)
        self.begun = threading.Semaphore(0)

    def wait(self) -> str:
        """Wait."""
        self.begun.release()
        self.release.wait(PATIENCE_SECONDS)
        self.ended.release()
        return "late"

    async def until_begun(self) -> None:
        """Wait until one more call has begun."""
        assert await asyncio.to_thread(self.begun.acquire, timeout=PATIENCE_SECONDS)

    async def until_ended(self) -> None:
        """Release it, and wait until one call has ended."""
        self.release.set()
        assert await asyncio.to_thread(self.ended.acquire, timeout=PATIENCE_SECONDS)


async def test_a_sync_tool_over_its_time_is_abandoned() -> None:
    blocking = Blocking()
    outcome = await run(blocking.wait, timeout_seconds=0.01)
    assert outcome == Outcome("The tool did not finish within 0.01 seconds.", is_error=True)
    await blocking.until_ended()


async def test_abandoned_threads_count_until_their_tool_has_really_returned() -> None:
    blocking = Blocking()
    patient = tool(timeout_seconds=PATIENCE_SECONDS)
    late = tool(name="late", timeout_seconds=0.01)(giving("Hi"))
    give = tool(name="give", timeout_seconds=PATIENCE_SECONDS)(giving("Hi"))
    tools = Toolset([patient(blocking.wait), late, give], max_threads=2)
    for _ in range(2):
        stopped = asyncio.create_task(tools.run("wait", {}, CONTEXT))
        await blocking.until_begun()
        stopped.cancel()
        await asyncio.wait([stopped])
    outcome = await tools.run("late", {}, CONTEXT)
    assert ("not started" in str(outcome.content), outcome.is_error) == (True, True)
    waiting = asyncio.create_task(tools.run("give", {}, CONTEXT))
    await blocking.until_ended()
    async with patience():
        assert await waiting == Outcome("Hi")


POLICIES: dict[str, tuple[Approval, bool]] = {
    "always": (True, True),
    "never": (False, False),
    "says yes": (lambda input: True, True),
    "says no": (lambda input: False, False),
    "raises": (lambda input: bool(input["nothing"]), True),
}


@pytest.mark.parametrize(("policy", "needs"), POLICIES.values(), ids=POLICIES)
async def test_whoever_is_in_doubt_asks(policy: Approval, needs: bool) -> None:
    tools = toolset(tool(name="it", approval=policy)(giving("Hi")))
    assert await tools.needs_approval("it", {}) is needs


async def test_a_policy_that_panics_or_blocks_means_yes() -> None:
    def panics(input: dict[str, Any]) -> bool:
        raise Panic

    blocking = Blocking()

    def blocks(input: dict[str, Any]) -> bool:
        return not blocking.wait()

    makers = [
        tool(name="panics", approval=panics)(giving("Hi")),
        tool(name="blocks", approval=blocks)(giving("Hi")),
    ]
    tools = Toolset(makers, policy_timeout_seconds=0.05)
    assert await tools.needs_approval("panics", {})
    assert await tools.needs_approval("blocks", {})
    await blocking.until_ended()


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
    assert toolset(count).problem(name, input) == problem


def test_the_words_about_a_huge_input_are_bounded() -> None:
    problem = toolset(count).problem("count", {"n": "x" * 100_000})
    assert problem is not None
    assert len(problem) < 2000


def test_specifications_are_those_asked_for_in_that_order() -> None:
    tools = toolset(count, beta_tool(giving(1)))
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
    tools = toolset(count, giving(1)).subset(["count", "nothing"])
    assert tools.names == ["count"]
    assert tools.problem("give", {}) == "There is no tool 'give'."
    assert await tools.run("count", {"n": 3}, CONTEXT) == Outcome("3")


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(SettingsError):
        toolset(count, count)


def made(name: str = "mine", description: Any = "d", **schema: Any) -> Tool:
    """A tool of the operator's."""
    return Tool(name, description, {"type": "object", **schema}, function=str, is_async=False)


REFUSED: dict[str, tuple[Tool, str]] = {
    "a schema that is none": (made(type="no such type"), "'mine': input_schema.type:"),
    "anyOf": (made(anyOf=[{}]), "'mine': input_schema.anyOf:"),
    "a key": (made(properties={"a b": {}}), "'mine': input_schema.properties.a b:"),
    "a name with a dot": (made("my.tool"), "'my.tool': name:"),
    "a long name": (made("a" * 129), "name:"),
    "an empty name": (made(""), "'': name:"),
    "no description": (made(description=None), "'mine': description:"),
}


@pytest.mark.parametrize(("tool", "words"), REFUSED.values(), ids=REFUSED)
def test_a_tool_that_the_api_would_refuse_is_an_error_at_start(tool: Tool, words: str) -> None:
    with pytest.raises(SettingsError) as error:
        Toolset([tool])
    assert words in str(error.value)


def offered(name: str) -> Tool:
    return Tool(name, "d", {"type": "object"}, function=str, is_async=False)


def test_what_a_source_offers_replaces_what_it_offered_and_keeps_its_place() -> None:
    tools = toolset(count)
    tools.offer("one", [offered("a"), offered("b")])
    tools.offer("two", [offered("c")])
    tools.offer("one", [offered("d")])
    assert tools.names == ["count", "d", "c"]


async def test_a_subset_keeps_what_is_offered_no_more() -> None:
    tools = Toolset()
    tools.offer("one", [offered("a")])
    subset = tools.subset(["a"])
    tools.offer("one", [])
    assert tools.problem("a", {}) == "There is no tool 'a'."
    assert subset.problem("a", {}) is None
    assert await subset.run("a", {}, CONTEXT) == Outcome("{}")


def test_an_offered_tool_that_clashes_or_has_no_schema_is_left_out() -> None:
    tools = toolset(count)
    broken = Tool("broken", "d", {"type": "string"}, function=str, is_async=False)
    tools.offer("one", [offered("count"), broken, offered("a")])
    tools.offer("two", [offered("a"), offered("b")])
    assert tools.names == ["count", "a", "b"]
    assert tools.specifications()[0]["description"] != "d"
