"""The history: whatever happened, the model is shown messages that the API takes."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import from_json, to_json

from tests.server.core.log_author import Author
from turnwire_protocol import Compaction, DocumentBlock, Error, ImageBlock, Step, TextBlock
from turnwire_server.core.history.history import History
from turnwire_server.core.log.codec import dump, load
from turnwire_server.core.log.items import Item
from turnwire_server.model.port import ApiMessage, json_of
from turnwire_simulator import (
    Answer,
    ProviderTool,
    RedactedThinking,
    Text,
    ToolUse,
    Unknown,
)
from turnwire_simulator import Thinking as ThinkingBlock
from turnwire_simulator.blocks import Block, BlockBuilder
from turnwire_simulator.signature import sign, sign_summary
from turnwire_simulator.strict import judge

Json = dict[str, Any]
ENDINGS = ["end_turn", "max_tokens", "refusal", "cancelled", "failed", "interrupted", "max_steps"]
CITATION = {"type": "char_location", "cited_text": "x", "document_index": 0}
NEXT: ApiMessage = {"role": "user", "content": "And now?"}


@dataclass(frozen=True)
class Whole:
    """A block that comes whole, or a call of a provider's tool whose result is in another block."""

    start: Json

    def blocks(self) -> list[Block]:
        return [Block(self.start)]


def searching(tool_id: str) -> Whole:
    return Whole({"type": "server_tool_use", "id": tool_id, "name": "web_search", "input": {}})


def found(tool_id: str) -> Whole:
    return Whole({"type": "web_search_tool_result", "tool_use_id": tool_id, "content": []})


def history_of(items: Sequence[Item]) -> History:
    history = History()
    for item in items:
        history.apply(item)
    return history


def messages_of(items: Sequence[Item], head: object = None) -> list[ApiMessage]:
    """What the step that has begun last is shown."""
    steps = [item.event.step for item in items if isinstance(item.event, Step)]
    messages = history_of(items).render(head, step=steps[-1] if steps else 1).messages
    for message in messages:
        assert from_json(json_of(message) or to_json(message)) == message
    return messages


def judged(messages: Sequence[ApiMessage], *more: ApiMessage) -> None:
    tools = [{"name": "t", "input_schema": {"type": "object"}}]
    body = {"model": "claude-x", "max_tokens": 100, "tools": tools}
    judge({**body, "messages": encoded([*messages, *more])}, {"compact-2026-09-04"})


def encoded(part: Any) -> Any:
    """Messages with bytes in place of references, as the API is shown them."""
    if isinstance(part, list):
        return [encoded(each) for each in part]
    if not isinstance(part, dict):
        return part
    if part.get("type") == "blob":
        return {"type": "base64", "media_type": "image/png", "data": "AA=="}
    return {name: encoded(value) for name, value in part.items()}


def conversation(*turns: Callable[[Author], None]) -> list[ApiMessage]:
    """The messages after these turns."""
    author = Author.new()
    for turn in turns:
        turn(author)
    messages = messages_of(author.items())
    judged(messages, NEXT)
    return messages


def turn(
    *items: BlockBuilder, stop: str = "end_turn", name: str = "t_1"
) -> Callable[[Author], None]:
    """A turn of one step, asked with its own name."""

    def write(author: Author) -> None:
        author.ask(name, name)
        author.step()
        author.answer(Answer(*items, stop_reason=stop))
        author.done(stop)

    return write


def user(content: Any) -> Json:
    return {"role": "user", "content": content}


def assistant(*blocks: Json) -> Json:
    return {"role": "assistant", "content": list(blocks)}


def text(words: str, **fields: Any) -> Json:
    return {"type": "text", "text": words, **fields}


HM: Json = {"type": "thinking", "thinking": "Hm.", "signature": sign("Hm.")}
OMITTED: Json = {"type": "thinking", "thinking": "", "signature": sign("")}
CALL: Json = {"type": "tool_use", "id": "toolu_1", "name": "t", "input": {"n": 1}}
SEARCH: Json = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
FOUND: Json = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}

TABLE: dict[str, tuple[list[BlockBuilder], str, list[Json]]] = {
    "text": ([Text("Hi you.")], "end_turn", [text("Hi you.")]),
    "thinking goes back with its signature": (
        [ThinkingBlock("Hm."), Text("Hi.")],
        "end_turn",
        [HM, text("Hi.")],
    ),
    "signed thinking with empty text stays": (
        [ThinkingBlock(""), Text("Hi.")],
        "end_turn",
        [OMITTED, text("Hi.")],
    ),
    "trailing thinking goes": ([Text("Hi."), ThinkingBlock("Hm.")], "max_tokens", [text("Hi.")]),
    "whitespace goes": ([Text("Hi."), Text(" \n")], "end_turn", [text("Hi.")]),
    "whitespace goes, then the thinking before it": (
        [ThinkingBlock("Hm."), Text("\n")],
        "end_turn",
        [],
    ),
    "citations": (
        [Text("Hi.", citations=[CITATION])],
        "end_turn",
        [text("Hi.", citations=[CITATION])],
    ),
    "a provider's tool with its result": (
        [searching("srvtoolu_1"), found("srvtoolu_1"), Text("Hi.")],
        "end_turn",
        [SEARCH, FOUND, text("Hi.")],
    ),
    "a provider's call without a result goes": (
        [Text("Hi."), searching("srvtoolu_1")],
        "pause_turn",
        [text("Hi.")],
    ),
    "what cannot be rebuilt goes": ([Unknown(), Text("Hi.")], "end_turn", [text("Hi.")]),
    "nothing": ([], "end_turn", []),
}


@pytest.mark.parametrize(("items", "stop", "blocks"), TABLE.values(), ids=TABLE)
def test_an_answer_goes_back_as_it_came_without_what_the_api_refuses(
    items: list[BlockBuilder], stop: str, blocks: list[Json]
) -> None:
    expected = [user("t_1"), *([assistant(*blocks)] if blocks else [])]
    assert conversation(turn(*items, stop=stop)) == expected


def test_a_whole_block_of_an_unknown_type_goes_back_as_it_came() -> None:
    author = Author.new()
    turn(Whole({"type": "novelty", "payload": [None]}), Text("Hi."))(author)
    messages = messages_of(author.items())
    assert messages[1] == assistant({"type": "novelty", "payload": [None]}, text("Hi."))


def test_a_refused_turn_is_not_shown_again() -> None:
    refused = turn(Text("I will"), stop="refusal", name="t_1")
    assert conversation(refused, turn(Text("Hi."), name="t_2")) == [
        user("t_2"),
        assistant(text("Hi.")),
    ]


def test_blank_blocks_of_a_message_are_not_sent() -> None:
    def asked(author: Author) -> None:
        author.ask("t_1", [TextBlock(text=" "), TextBlock(text="Hi")])
        author.done("failed")

    assert conversation(asked) == [user([text("Hi")])]


IMAGE = ImageBlock(blob=f"b_{1:032x}", media_type="image/png", bytes=7, name="a.png")
PAPER = DocumentBlock(blob=f"b_{2:032x}", media_type="application/pdf", bytes=9, name="a.pdf")
SHOWN_IMAGE = {"type": "image", "source": {"type": "blob", "blob": IMAGE.blob, "bytes": 7}}
SHOWN_PAPER = {
    "type": "document",
    "source": {"type": "blob", "blob": PAPER.blob, "bytes": 9},
    "title": "a.pdf",
}
LEFT_OUT = text("[image: it could not be used]")


def drawing(
    *,
    fails: bool = False,
    content: Any = "Draw",
    code: str = "invalid_request",
    cause: str | None = "attachments",
) -> Callable[[Author], None]:
    """A turn whose tool returns an image; perhaps the model refuses the call after it."""

    def write(author: Author) -> None:
        author.ask(f"t_{author.log.head}", content)
        author.step()
        author.answer(
            Answer(ToolUse("draw", {}, id=f"u_{author.log.head}"), stop_reason="tool_use")
        )
        calls = [item.event for item in author.items() if item.event.type == "tool_start"]
        author.result(calls[-1].tool_id, [IMAGE])  # type: ignore[union-attr]
        author.step()
        if fails:
            private = {"cause": cause}
            author.write(Error, private=private, code=code, message="no", retryable=False)
            author.done("failed")
        else:
            author.answer(Answer(Text("There.")))
            author.done()

    return write


def results(messages: list[ApiMessage]) -> list[Any]:
    """What the tools gave, in order."""
    blocks = [block for message in messages for block in message["content"]]
    return [b["content"] for b in blocks if isinstance(b, dict) and b["type"] == "tool_result"]


def test_attachments_of_messages_and_results_are_shown_by_reference() -> None:
    messages = conversation(drawing(content=[TextBlock(text="Like this"), PAPER]))
    assert messages[0] == user([text("Like this"), SHOWN_PAPER])
    assert results(messages) == [[SHOWN_IMAGE]]


def test_attachments_that_the_model_refused_by_name_are_left_out_for_ever() -> None:
    messages = conversation(drawing(), drawing(fails=True))
    assert results(messages) == [[SHOWN_IMAGE], [LEFT_OUT]]


@pytest.mark.parametrize("code", ["invalid_request", "overloaded", "permission_denied"])
def test_attachments_stay_where_the_model_failed_for_another_reason(code: str) -> None:
    messages = conversation(drawing(fails=True, code=code, cause=None))
    assert results(messages) == [[SHOWN_IMAGE]]


@pytest.mark.parametrize("cause", [None, "attachments"])
def test_a_turn_that_was_too_long_is_not_shown_again(cause: str | None) -> None:
    too_long = drawing(fails=True, code="context_too_long", cause=cause)
    assert results(conversation(drawing(), too_long)) == [[SHOWN_IMAGE]]


def test_an_attachment_never_tried_is_left_out_when_a_later_turn_is_refused() -> None:
    def stopped(author: Author) -> None:
        author.ask("t_stopped", [IMAGE])
        author.done("cancelled")

    def refused(author: Author) -> None:
        author.ask("t_refused", "Hello?")
        author.step()
        private = {"cause": "attachments"}
        author.write(Error, private=private, code="invalid_request", message="", retryable=False)
        author.done("failed")

    assert conversation(stopped, refused) == [user([LEFT_OUT]), user("Hello?")]


def test_a_turn_that_never_started_is_not_shown() -> None:
    author = Author.new()
    author.ask("t_1")
    items = [item for item in author.items() if item.event.type != "start"]
    assert messages_of(items) == []


def test_a_complete_call_of_an_answer_cut_by_max_tokens_gets_the_result_in_the_log() -> None:
    def cut(author: Author) -> None:
        author.ask("t_1", "t_1")
        author.step()
        author.answer(Answer(ToolUse("t", {"n": 1}, id="toolu_1"), stop_reason="max_tokens"))
        author.result("toolu_1", "Not run: the answer was cut off.", is_error=True)
        author.done("max_tokens")

    result = {
        "type": "tool_result",
        "tool_use_id": "toolu_1",
        "content": "Not run: the answer was cut off.",
        "is_error": True,
    }
    assert conversation(cut) == [user("t_1"), assistant(CALL), user([result])]


def test_a_paused_answer_goes_on_in_the_same_message() -> None:
    def paused(author: Author) -> None:
        author.ask("t_1", "t_1")
        author.step()
        author.answer(Answer(Text("One."), searching("srvtoolu_1"), stop_reason="pause_turn"))
        author.step()
        assert messages_of(author.items())[-1] == assistant(text("One."), SEARCH)
        author.answer(Answer(found("srvtoolu_1"), Text("Two.")))
        author.done()

    assert conversation(paused) == [
        user("t_1"),
        assistant(text("One."), SEARCH, FOUND, text("Two.")),
    ]


def test_a_rewound_attempt_is_replaced_by_the_next_one() -> None:
    def rewound(author: Author) -> None:
        author.ask("t_1", "t_1")
        author.step()
        author.answer(Answer(ThinkingBlock("Hm."), Text("Wrong")), events=8)
        author.retry()
        author.answer(Answer(Text("Right")))
        author.done()

    assert conversation(rewound) == [user("t_1"), assistant(text("Right"))]


def test_the_next_attempt_is_not_sent_what_the_failed_one_said() -> None:
    author = Author.new()
    author.ask("t_1", "t_1")
    author.step()
    author.answer(Answer(Text("Half an")), events=5)
    author.retry()
    assert messages_of(author.items()) == [user("t_1")]


def test_what_the_last_failed_attempt_said_stays_in_the_history() -> None:
    def failed(author: Author) -> None:
        author.ask("t_1", "t_1")
        author.step()
        author.answer(Answer(Text("Half an")), events=5)
        author.done("failed")

    assert conversation(failed) == [user("t_1"), assistant(text("Half an"))]


def test_retracted_turns_are_gone() -> None:
    one, two, three = (turn(Text(f"{n}."), name=f"t_{n}") for n in (1, 2, 3))
    four = turn(Text("4."), name="t_4")
    messages = conversation(one, two, three, lambda author: author.retract("t_2"), four)
    expected = [user("t_1"), assistant(text("1.")), user("t_4"), assistant(text("4."))]
    assert messages == expected


def test_an_object_input_that_is_no_object_goes_back_empty() -> None:
    author = Author.new()
    author.ask("t_1")
    author.step()
    broken = ToolUse("t", {}, id="toolu_1", deltas=['{"n": 1e999}'])
    author.answer(Answer(broken, stop_reason="tool_use"))
    author.result("toolu_1", "The input was not a JSON object.", is_error=True)
    author.step()
    messages = messages_of(author.items())
    judged(messages)
    assert messages[1] == assistant({**CALL, "input": {}})


def test_the_newest_container_is_remembered() -> None:
    author = Author.new()
    for name in ("container_1", "container_2"):
        author.ask(name)
        author.step()
        answer = Answer.of(
            [
                {"type": "message_start", "message": {"usage": {}}},
                {"type": "message_delta", "delta": {"container": {"id": name}}, "usage": {}},
            ]
        )
        author.answer(answer)
        author.done()
    author.ask("t_3")
    assert history_of(author.items()).container == "container_2"


# Every sequence a model can produce

RAN = {
    "type": "code_execution_result",
    "stdout": "",
    "stderr": "",
    "return_code": 0,
    "content": [],
}
SPOKEN: st.SearchStrategy[BlockBuilder] = st.sampled_from(
    [
        Text("One two."),
        Text(" \n"),
        Text("Said.", citations=[CITATION]),
        ThinkingBlock("Hm hm."),
        ThinkingBlock(""),
        RedactedThinking(),
        ProviderTool("web_search", {"q": "x"}, []),
        ProviderTool("code_execution", {}, RAN),
        Unknown(),
    ]
)
BODY = st.lists(SPOKEN, max_size=3)
FAILED = st.none() | st.tuples(BODY, st.integers(0, 12))
STEP = st.tuples(BODY, st.sampled_from(["one call", "two calls", "pause"]), FAILED)
LAST = st.sampled_from(["", "call", "half a call", "provider call"])


def summarise(author: Author, head: object = None, summary: str = "They spoke.") -> bool:
    """A step that only summarises, as the service does it; whether anything was older."""
    history = history_of(author.items())
    older = history.older(head, step=author.step_number + 1)
    if older is None:
        return False
    judged(older.messages)
    author.step()
    signature = sign_summary(summary, head="0", prefix="0")
    raw = {"type": "compaction", "content": summary, "signature": signature}
    private = {"raw": raw, **older.private}
    author.write(Compaction, private=private, block=author.next_block, summary=summary)
    author.next_block += 1
    return True


def play(
    author: Author,
    name: str,
    steps: list[tuple[Any, str, Any]],
    body: Any,
    last: str,
    *,
    summarises: bool = False,
) -> None:
    """A turn without its end: steps of the agent loop, then the last answer.

    `summarises`: before each of them what is older is summarised.
    """
    author.ask(name)
    opening: list[BlockBuilder] = []
    for number, (items, kind, failed) in enumerate(steps):
        if summarises:
            summarise(author)
        author.step()
        if failed is not None:
            author.answer(Answer(*failed[0]), events=failed[1])
            author.retry()
        # The step that has begun is asked for with messages the API takes.
        judged(messages_of(author.items()))
        ids = [f"toolu_{name}_{number}_{n}" for n in range({"two calls": 2}.get(kind, 1))]
        if kind == "pause":
            paused = f"srvtoolu_{name}_{number}"
            author.answer(Answer(*opening, *items, searching(paused), stop_reason="pause_turn"))
            opening = [found(paused)]
            continue
        calls = [ToolUse("t", {"n": 1}, id=id) for id in ids]
        author.answer(Answer(*opening, *items, *calls, stop_reason="tool_use"))
        opening = []
        for id in reversed(ids):
            author.result(id)
    if summarises:
        summarise(author)
    author.step()
    judged(messages_of(author.items()))
    endings: dict[str, list[BlockBuilder]] = {
        "call": [ToolUse("t", {"n": 1}, id=f"toolu_{name}_last")],
        "half a call": [ToolUse("t", {}, id=f"toolu_{name}_last", deltas=['{"n'])],
        "provider call": [searching(f"srvtoolu_{name}_last")],
    }
    author.answer(Answer(*opening, *body, *endings.get(last, [])))


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, max_size=2), BODY, LAST, st.booleans())
def test_a_turn_cut_anywhere_and_ended_in_any_way_leaves_messages_the_api_takes(
    steps: Any, body: Any, last: str, summarises: bool
) -> None:
    author = Author.new()
    turn(Text("Before."), name="t_0")(author)
    first = author.log.head + 1
    play(author, "t_1", steps, body, last, summarises=summarises)
    for upto in range(first, author.log.head + 1):
        head = author.items(upto)
        for ending in ENDINGS:
            end = Author.new()
            end.log.head, end.turn, end.step_number = upto, "t_1", author.step_number
            end.done(ending)
            judged(messages_of([*head, *end.log.read(upto, upto + 1)]), NEXT)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(STEP, max_size=2), BODY, LAST, st.lists(st.integers(1, 4), min_size=1), st.booleans()
)
def test_a_log_fed_in_any_pieces_and_after_a_restart_is_the_same_history(
    steps: Any, body: Any, last: str, sizes: list[int], summarises: bool
) -> None:
    author = Author.new()
    play(author, "t_1", steps, body, last, summarises=summarises)
    author.done()
    pieces: list[Item] = []
    while (after := pieces[-1].last_seq if pieces else 0) < author.log.head:
        upto = min(after + sizes[len(pieces) % len(sizes)], author.log.head)
        pieces += author.log.read(after, upto)
    messages = messages_of(author.items())
    assert messages_of(pieces) == messages
    assert messages_of(load(dump(author.items()))) == messages


# What is shown again is not encoded again


def test_ended_turns_are_encoded_once_and_weigh_what_is_kept_of_them() -> None:
    author = Author.new()
    for name in ("t_1", "t_2"):
        turn(ThinkingBlock("Hm."), Text("Grüße."), name=name)(author)
    author.ask("t_3", "And now?")
    history = history_of(author.items())
    assert history.shown_bytes == 0
    first, again = (history.render(None, step=1).messages for _ in range(2))
    assert all(one is other for one, other in zip(first[:4], again[:4], strict=True))
    encoded = [json_of(message) or b"" for message in first]
    assert [from_json(json) for json in encoded] == first
    contents = (to_json(message["content"]) for message in first[:4])
    assert history.shown_bytes == sum(map(len, contents))
    author.retract("t_2")
    history.apply(author.items()[-1])
    history.render(None, step=1)
    assert 0 < history.shown_bytes < sum(map(len, encoded[:4])) / 2, "less, with the turn"


def test_what_a_summary_stands_for_is_not_kept_encoded() -> None:
    author = Author.new()
    for name in ("t_1", "t_2", "t_3"):
        turn(Text("As long as the others."), name=name)(author)
    author.ask("t_4", "And now?")
    history = history_of(author.items())
    history.render(None, step=1)
    of_all = history.shown_bytes
    before = author.log.head
    assert summarise(author)
    for item in author.log.read(before, author.log.head):
        history.apply(item)
    history.render(None, step=2)
    assert 0 < history.shown_bytes < of_all / 2, "only the last answer is shown again"


def test_the_prefix_is_what_logs_have_kept_of_it() -> None:
    """Or all thinking in them would be left out."""
    author = Author.new()
    turn(ThinkingBlock("Hm."), Text("Grüße."))(author)
    told = ""
    messages = history_of(author.items()).render(ONE, step=1).messages
    for shown in (ONE, *((message["role"], message["content"]) for message in messages)):
        told = hashlib.blake2b(to_json((told, shown)), digest_size=12).hexdigest()
    assert history_of(author.items()).render(ONE, step=1).prefix == told


# Thinking is bound to what stands before it

THOUGHT = Answer(ThinkingBlock("Hm."), Text("Yes."))
ONE, TWO = "You are one.", "You are another."


def thinking_behind(author: Author, head: object, content: str) -> None:
    """A turn whose only step is asked and recorded as the service does it."""
    author.ask(f"t_{author.log.head}", content)
    rendered = history_of(author.items()).render(head, step=1)
    author.step(private={"prefix": rendered.prefix})
    author.answer(THOUGHT)
    author.done()


def thoughts_of(author: Author, head: object) -> list[bool]:
    """Of each message of the model, whether it is shown with its thinking."""
    messages = history_of(author.items()).render(head, step=1).messages
    return [message["content"][0] == HM for message in messages if message["role"] == "assistant"]


def test_thinking_is_shown_again_behind_the_same_prefix_only() -> None:
    author = Author.new()
    thinking_behind(author, ONE, "a")
    thinking_behind(author, ONE, "b")
    assert thoughts_of(author, ONE) == [True, True]
    assert thoughts_of(author, TWO) == [False, False]


def test_thinking_after_a_change_is_bound_to_a_history_without_the_earlier_thinking() -> None:
    author = Author.new()
    thinking_behind(author, ONE, "a")
    thinking_behind(author, TWO, "b")
    assert thoughts_of(author, TWO) == [False, True]
    assert thoughts_of(author, ONE) == [True, False], "and back again"
    thinking_behind(author, TWO, "c")
    assert thoughts_of(author, TWO) == [False, True, True]


def test_thinking_after_a_message_that_is_not_shown_any_more_is_left_out() -> None:
    author = Author.new()
    author.ask("t_refused", [IMAGE])
    author.step()
    author.write(Error, code="overloaded", message="", retryable=True)
    author.done("failed")
    thinking_behind(author, ONE, "a")
    assert thoughts_of(author, ONE) == [True]
    author.ask("t_again", [IMAGE])
    author.step()
    private = {"cause": "attachments"}
    author.write(Error, private=private, code="invalid_request", message="", retryable=False)
    author.done("failed")
    assert thoughts_of(author, ONE) == [True], "the model had taken the earlier image"


def test_thinking_of_a_log_that_kept_no_prefix_is_shown() -> None:
    author = Author.new()
    turn(ThinkingBlock("Hm."), Text("Yes."))(author)
    assert thoughts_of(author, ONE) == [True]


def test_once_a_step_drops_thinking_what_was_thought_before_it_stays_out() -> None:
    author = Author.new()
    thinking_behind(author, ONE, "a")
    author.ask("t_2", "b")
    dropped = history_of(author.items()).render(ONE, step=1, drops_thinking=True)
    assert not any(block == HM for message in dropped.messages for block in message["content"])
    author.step(private={"prefix": dropped.prefix, "drops_thinking": True})
    author.answer(THOUGHT)
    author.done()
    assert thoughts_of(author, ONE) == [False, True]


def test_thinking_goes_on_behind_a_summary_of_the_same_prefix_only() -> None:
    author = Author.new()
    for content in ("a", "b"):
        thinking_behind(author, ONE, content)
    author.ask("t_3", "c")
    assert summarise(author, ONE)
    assert thoughts_of(author, ONE) == [False, True], "the summary, and what was said last"
    assert thoughts_of(author, TWO) == [False, False]
    author.done()
    thinking_behind(author, ONE, "d")
    assert thoughts_of(author, ONE) == [False, True, True]
    assert not summarise(Author.new(), ONE)


def test_only_what_is_not_summarised_is_shown_however_much_there_was() -> None:
    author = Author.new()
    for number in range(20):
        thinking_behind(author, ONE, f"{number}")
        author.ask(f"t_sum{number}", "more")
        assert summarise(author, ONE)
        author.done()
    history = history_of(author.items())
    rendered = history.render(ONE, step=1)
    assert [message["role"] for message in rendered.messages] == ["assistant"] * 2 + ["user"]
    everything = history.render(ONE, step=1, ignores_summary=True)
    assert len(everything.messages) == 60
    author.turn = "t_new"
    author.retract("t_sum19")
    before = history_of(author.items()).render(ONE, step=1).messages
    assert [message["content"] for message in before if message["role"] == "user"] == ["more", "19"]


def test_a_name_that_the_model_invented_goes_back_as_one_that_the_api_takes() -> None:
    names = ['echo" />', "", "x" * 200, "échelle"]
    calls = [ToolUse(name, {}, id=f"u_{n}") for n, name in enumerate(names)]
    messages = conversation(turn(*calls, stop="tool_use"))
    back = [block["name"] for block in messages[1]["content"] if isinstance(block, dict)]
    assert back == ["echo____", "_", "x" * 128, "_chelle"]
