"""Older messages are summarised: when, by what, and what becomes of it however a turn ends."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.kit.chat import MODEL, ended, of_type
from tests.kit.oracle import check_log
from tests.kit.service import serving, turnwire_over
from tests.kit.wire import Wire, wired
from turnwire_protocol import Compaction, Error, Retry, Step, Usage
from turnwire_server.app import Turnwire
from turnwire_server.errors import SettingsError
from turnwire_simulator import (
    Answer,
    Cut,
    Fault,
    Gate,
    Simulator,
    Text,
    Thinking,
    ToolUse,
)
from turnwire_simulator import Compaction as Summary

WINDOW = 4000
ON_DEMAND = {MODEL: {"window": WINDOW, "compaction": "on_demand"}}
TOO_LONG = Fault(400, "invalid_request_error", "prompt is too long: 4001 tokens > 4000 maximum")
Body = dict[str, Any]


async def note(n: int) -> str:
    """Note a number."""
    return f"noted {n}"


@asynccontextmanager
async def service(simulator: Simulator, **settings: Any) -> AsyncIterator[Wire]:
    usual = {"model": MODEL, "model_options": ON_DEMAND, "base_delay": 0.001}
    turnwire = turnwire_over(simulator, **{**usual, **settings})
    async with serving(turnwire) as address, wired(address) as wire:
        yield wire


def full(*blocks: Any, **fields: Any) -> Answer:
    """An answer behind which the window is nearly full."""
    return Answer(*(blocks or (Text("Yes."),)), input_tokens=WINDOW - 100, **fields)


def bare(body: Body) -> list[Body]:
    """The messages of a request without the marks of the cache."""
    return [
        {
            "role": message["role"],
            "content": [
                {name: value for name, value in block.items() if name != "cache_control"}
                for block in (
                    [{"type": "text", "text": message["content"]}]
                    if isinstance(message["content"], str)
                    else message["content"]
                )
            ],
        }
        for message in body["messages"]
    ]


def text(words: str) -> Body:
    return {"type": "text", "text": words}


async def filled(wire: Wire, simulator: Simulator, *answers: Answer) -> str:
    """A conversation whose next message finds the window nearly full."""
    simulator.program(*(answers or (full(),)))
    done = await ended(wire, "One")
    assert done["stop_reason"] == "end_turn"
    conversation: str = done["conversation"]
    return conversation


async def goes_on(wire: Wire, conversation: str, content: str = "Next") -> None:
    done = await ended(wire, content, conversation=conversation)
    assert done["stop_reason"] == "end_turn"


async def test_what_the_request_before_showed_is_summarised_and_the_rest_goes_on_as_it_was(
    simulator: Simulator,
) -> None:
    async with service(simulator, prices={MODEL: {"input": 1e6, "output": 0}}) as wire:
        conversation = await filled(wire, simulator, full(Thinking("Hm."), Text("Yes.")))
        simulator.program(Answer(Text("Two.")), Answer(Text("Three.")))
        done = await ended(wire, "Two", conversation=conversation)
        await goes_on(wire, conversation, "Three")
        log = wire.events
    first, summarising, second, third = simulator.requests
    assert bare(summarising) == bare(first)
    assert summarising["compaction"] == {"type": "summarize"}
    block, answer, message = bare(second)
    assert block["role"] == "assistant"
    assert [each["type"] for each in block["content"]] == ["compaction"]
    assert [each["type"] for each in answer["content"]] == ["thinking", "text"]
    assert message == {"role": "user", "content": [text("Two")]}
    assert bare(third)[:3] == bare(second)

    [event] = of_type(wire, Compaction)
    assert event.summary == block["content"][0]["content"]
    turn = [each for each in log if each.turn == done["turn"]]
    kinds = [each.type for each in turn if each.type not in ("usage", "token", "block_stop")]
    assert kinds == ["message", "start", "step", "compaction", "step", "done"]
    counts = [each for each in turn if isinstance(each, Usage)]
    made, shown = counts[1], counts[-1]
    assert made.input_tokens + made.cache_read_input_tokens > 0
    assert (made.context_tokens, made.context_window) == (None, None)
    assert shown.context_window == WINDOW
    assert 0 < (shown.context_tokens or 0) < WINDOW // 2
    assert done["usage"]["input_tokens"] == made.input_tokens + shown.input_tokens
    assert done["cost_usd"] == done["usage"]["input_tokens"], "what was summarised is paid for"
    check_log(log)


async def test_between_the_steps_of_a_turn_it_is_summarised_too(simulator: Simulator) -> None:
    calling = full(ToolUse("note", {"n": 1}, "toolu_1"), stop_reason="tool_use")
    async with service(simulator, tools=[note]) as wire:
        simulator.program(calling, Answer(Text("Noted.")))
        done = await ended(wire, "Note 1")
        assert (done["stop_reason"], done["steps"]) == ("end_turn", 3)
    first, summarising, second = simulator.requests
    assert bare(summarising) == bare(first)
    block, call, result = bare(second)
    assert block["content"][0]["type"] == "compaction"
    assert call["content"][0]["id"] == result["content"][0]["tool_use_id"] == "toolu_1"


async def test_at_a_threshold_it_pauses_behind_the_summary_and_carries_it_from_then_on(
    simulator: Simulator,
) -> None:
    options = {MODEL: {"window": 60_000, "compaction": "threshold"}}
    almost = Answer(Thinking("Hm."), Text("Yes."), input_tokens=59_000)
    async with service(simulator, model_options=options) as wire:
        simulator.program(almost, almost, Answer(Text("Three.")))
        conversation = (await ended(wire, "word " * 45_000))["conversation"]
        await goes_on(wire, conversation, "Two")
        # The block stands for little: the API does not summarise that, and answers instead.
        simulator.program(Answer(Text("Four.")))
        await goes_on(wire, conversation, "Three")
        assert len(of_type(wire, Compaction)) == 1
        check_log(wire.events)
    _, summarising, second, *_ = simulator.requests
    [edit] = summarising["context_management"]["edits"]
    assert edit["pause_after_compaction"]
    block, answer, _ = bare(second)
    assert "signature" not in block["content"][0]
    # The API takes no thinking from before such a summary.
    assert [each["type"] for each in answer["content"]] == ["text"]
    [edit] = second["context_management"]["edits"]
    assert "pause_after_compaction" not in edit


OFF: dict[str, dict[str, Any]] = {
    "off": {"compact_at": 0},
    "a model that cannot": {"model_options": {MODEL: {"window": WINDOW, "compaction": "none"}}},
    "a model that is not known": {"model_options": {}},
    "a family that can, elsewhere than at its own API": {
        "model": "claude-sonnet-5-5",
        "model_options": {"claude-sonnet": {"window": WINDOW}},
    },
}


@pytest.mark.parametrize("settings", OFF.values(), ids=OFF)
async def test_where_it_is_not_wanted_or_not_known_nothing_is_summarised(
    simulator: Simulator, settings: dict[str, Any]
) -> None:
    async with service(simulator, **settings) as wire:
        conversation = await filled(wire, simulator)
        await goes_on(wire, conversation)
        simulator.program(TOO_LONG)
        done = await ended(wire, "Too much", conversation=conversation)
        [error] = of_type(wire, Error)
        assert (done["stop_reason"], error.code) == ("failed", "context_too_long")
        await goes_on(wire, conversation)
        assert not of_type(wire, Compaction)
    assert all("compaction" not in body for body in simulator.requests)


FAILURES: dict[str, Any] = {
    "no text": None,
    "unavailable": Fault(529, "overloaded_error", "Busy", code="compaction_unavailable"),
    "not known here": Fault(400, message="compaction: Extra inputs are not permitted"),
    "too long": TOO_LONG,
    "an answer in place of it": Answer(Thinking("Hm."), Text("Hello!")),
    "a call in place of it": Answer(ToolUse("note", {"n": 1}), stop_reason="tool_use"),
    "cut off": Answer(Cut()),
    "no text, in a block": Answer(Summary(None), stop_reason="compaction"),
}


@pytest.mark.parametrize("summary", FAILURES.values(), ids=FAILURES)
async def test_a_summary_that_cannot_be_had_fails_no_turn(
    simulator: Simulator, summary: Any
) -> None:
    async with service(simulator, tools=[note]) as wire:
        conversation = await filled(wire, simulator)
        simulator.program_summaries(summary)
        simulator.program(Answer(Text("Two.")))
        done = await ended(wire, "Two", conversation=conversation)
        assert (done["stop_reason"], done["steps"]) == ("end_turn", 2)
        assert not [*of_type(wire, Compaction), *of_type(wire, Retry), *of_type(wire, Error)]
        turn = wire.fold(conversation).turns[done["turn"]]
        assert [block.type for block in turn.blocks] == ["text"]
        assert turn.compacting is None
        await goes_on(wire, conversation)
        check_log(wire.events)
    assert [message["role"] for message in simulator.requests[2]["messages"]] == [
        "user",
        "assistant",
        "user",
    ]


async def test_it_is_not_asked_for_again_in_a_turn_in_which_it_was_refused(
    simulator: Simulator,
) -> None:
    calling = full(ToolUse("note", {"n": 1}), stop_reason="tool_use")
    async with service(simulator, tools=[note]) as wire:
        conversation = await filled(wire, simulator)
        simulator.program_summaries(Fault(400))
        simulator.program(calling, full())
        await goes_on(wire, conversation)
        assert len([step for step in of_type(wire, Step) if step.compacts]) == 1
        await goes_on(wire, conversation)
        assert len(of_type(wire, Compaction)) == 1


async def test_a_message_that_is_too_long_for_what_is_left_is_asked_again_behind_a_summary(
    simulator: Simulator,
) -> None:
    async with service(simulator) as wire:
        simulator.program(Answer(Text("One.")), TOO_LONG, Answer(Text("Two.")))
        conversation = (await ended(wire, "One"))["conversation"]
        await goes_on(wire, conversation, "Two")
        assert len(of_type(wire, Compaction)) == 1
        # Nothing older is left, and nothing can be done: the turn leaves the history.
        simulator.program(TOO_LONG, TOO_LONG)
        done = await ended(wire, "Three", conversation=conversation)
        assert done["stop_reason"] == "failed"
        await goes_on(wire, conversation, "Four")
        check_log(wire.events)
    block, *kept = bare(simulator.requests[-1])
    assert block["content"][0]["type"] == "compaction"
    assert [message["content"] for message in kept] == [[text("Two.")], [text("Four")]]


async def test_a_summary_that_is_refused_gives_way_to_all_messages_for_that_step(
    simulator: Simulator,
) -> None:
    refused = Fault(400, message="Invalid signature", code="compaction_signature_invalid")
    async with service(simulator, retries=0) as wire:
        conversation = await filled(wire, simulator)
        await goes_on(wire, conversation, "Two")
        simulator.program(refused, Answer(Text("Three.")))
        await goes_on(wire, conversation, "Three")
        all_messages = bare(simulator.requests[-1])
        await goes_on(wire, conversation, "Four")
        again = bare(simulator.requests[-1])
    assert all_messages[0] == {"role": "user", "content": [text("One")]}
    assert [message["role"] for message in all_messages] == ["user", "assistant"] * 2 + ["user"]
    assert again[0]["content"][0]["type"] == "compaction"


async def test_a_summary_that_was_refused_is_not_sent_again_in_the_steps_of_that_turn(
    simulator: Simulator,
) -> None:
    refused = Fault(400, message="Invalid signature", code="compaction_signature_invalid")
    call = Answer(ToolUse("note", {"n": 1}), stop_reason="tool_use")
    async with service(simulator, retries=0, tools=[note]) as wire:
        conversation = await filled(wire, simulator)
        await goes_on(wire, conversation, "Two")
        simulator.program(refused, call, Answer(Text("Three.")))
        await goes_on(wire, conversation, "Three")
        last = bare(simulator.requests[-1])
        assert len(of_type(wire, Retry)) == 1
    assert last[0] == {"role": "user", "content": [text("One")]}


async def test_taking_back_the_turn_of_a_summary_or_one_before_it_gives_all_messages_back(
    simulator: Simulator,
) -> None:
    async with service(simulator) as wire:
        conversation = await filled(wire, simulator)
        two = await ended(wire, "Two", conversation=conversation)
        three = await ended(wire, "Three", conversation=conversation)
        await ended(wire, "Third", conversation=conversation, retract=three["turn"])
        assert bare(simulator.requests[-1])[0]["content"][0]["type"] == "compaction"
        simulator.program_summaries(Fault(400))
        await ended(wire, "Second", conversation=conversation, retract=two["turn"])
        assert [message["content"] for message in bare(simulator.requests[-1])] == [
            [text("One")],
            [text("Yes.")],
            [text("Second")],
        ]
        first = next(each.turn for each in wire.events)
        await ended(wire, "First", conversation=conversation, retract=first)
        assert bare(simulator.requests[-1]) == [{"role": "user", "content": [text("First")]}]


async def test_a_refused_turn_takes_the_summary_with_it_that_was_made_of_it(
    simulator: Simulator,
) -> None:
    calling = full(ToolUse("note", {"n": 1}), stop_reason="tool_use")
    async with service(simulator, tools=[note]) as wire:
        conversation = await filled(wire, simulator, Answer(Text("Yes.")))
        simulator.program(calling, Answer(Text("No"), stop_reason="refusal"))
        await ended(wire, "Secret", conversation=conversation)
        assert len(of_type(wire, Compaction)) == 1
        await goes_on(wire, conversation, "Three")
    assert [message["content"] for message in bare(simulator.requests[-1])] == [
        [text("One")],
        [text("Yes.")],
        [text("Three")],
    ]


async def test_a_cancel_while_it_summarises_ends_the_turn_and_leaves_no_summary(
    simulator: Simulator,
) -> None:
    gate = Gate()
    async with service(simulator) as wire:
        conversation = await filled(wire, simulator)
        simulator.program_summaries(Answer(gate, Summary("Never said.")))
        ack = await wire.ask("send", content="Two", conversation=conversation)
        await wire.until("step", compacts=True)
        await gate.reached()
        assert wire.fold(conversation).turns[ack["turn"]].compacting
        await wire.ask("cancel", conversation=conversation, turn=ack["turn"])
        done = await wire.end(ack["turn"])
        assert done.stop_reason == "cancelled"
        await simulator.wait(lambda: simulator.aborted_streams == 1)
        assert not of_type(wire, Compaction)
        await goes_on(wire, conversation, "Three")
        assert len(of_type(wire, Compaction)) == 1
        check_log(wire.events)


async def test_a_restart_keeps_the_summary_and_a_reader_who_resumes_sees_it(
    simulator: Simulator, db: str
) -> None:
    async with service(simulator, db=db) as wire:
        conversation = await filled(wire, simulator, full(Thinking("Hm."), Text("Yes.")))
        await goes_on(wire, conversation, "Two")
        before = bare(simulator.requests[-1])
        [event] = of_type(wire, Compaction)
    async with service(simulator, db=db) as wire:
        await wire.ask("subscribe", conversation=conversation, after=event.seq - 1)
        await wire.until("compaction", summary=event.summary)
        await goes_on(wire, conversation, "Three")
    assert bare(simulator.requests[-1])[:3] == before


async def test_an_answer_that_begins_with_a_summary_goes_back_as_it_came(
    simulator: Simulator,
) -> None:
    answer = Answer(Summary("They said one."), Thinking("Hm."), Text("Two."))
    async with service(simulator) as wire:
        conversation = await filled(wire, simulator, Answer(Text("Yes.")))
        simulator.program(Answer(Text("Half"), Cut()), answer)
        await goes_on(wire, conversation, "Two")
        await goes_on(wire, conversation, "Three")
        [turn] = [turn for turn in wire.fold(conversation).turns if turn.text == "Two."]
        assert [block.type for block in turn.blocks] == ["compaction", "thinking", "text"]
        check_log(wire.events)
    block, said, _ = bare(simulator.requests[-1])
    assert block["content"] == [{"type": "compaction", "content": "They said one."}]
    assert [each["type"] for each in said["content"]] == ["thinking", "text"]


async def test_a_rewind_takes_back_the_summary_that_the_answer_began_with(
    simulator: Simulator,
) -> None:
    async with service(simulator) as wire:
        conversation = await filled(wire, simulator, Answer(Text("Yes.")))
        simulator.program(Answer(Summary("Void."), Text("Half"), Cut()), Answer(Text("Two.")))
        done = await ended(wire, "Two", conversation=conversation)
        turn = wire.fold(conversation).turns[done["turn"]]
        assert [block.type for block in turn.blocks] == ["text"]
        await goes_on(wire, conversation, "Three")
    assert [message["content"] for message in bare(simulator.requests[-1])] == [
        [text("One")],
        [text("Yes.")],
        [text("Two")],
        [text("Two.")],
        [text("Three")],
    ]


async def test_edits_of_the_operator_are_in_every_request_but_those_that_summarise(
    simulator: Simulator,
) -> None:
    edits = [{"type": "clear_tool_uses_20250919", "keep": {"type": "tool_uses", "value": 3}}]
    async with service(simulator, context_edits=[json.dumps(edits[0])]) as wire:
        conversation = await filled(wire, simulator)
        await goes_on(wire, conversation)
    first, summarising, second = simulator.requests
    assert first["context_management"] == second["context_management"] == {"edits": edits}
    assert "context_management" not in summarising


@pytest.mark.parametrize(
    "edits",
    [[{"type": "compact_20260112"}], [{"kind": "no type"}], ["no JSON"]],
    ids=["a summary", "no type", "no JSON"],
)
def test_edits_that_summarise_or_are_none_are_refused_as_a_setting(edits: list[Any]) -> None:
    with pytest.raises(SettingsError, match="context_edits"):
        Turnwire(context_edits=edits)


async def test_a_call_that_is_forced_is_forced_behind_a_summary_too_and_once(
    simulator: Simulator,
) -> None:
    async with service(simulator, tools=[note]) as wire:
        conversation = await filled(wire, simulator)
        call = Answer(ToolUse("note", {"n": 1}), stop_reason="tool_use")
        simulator.program(call, Answer(Text("Two.")))
        choice = {"type": "tool", "name": "note"}
        done = await ended(wire, "Two", conversation=conversation, tool_choice=choice)
    assert done["stop_reason"] == "end_turn"
    _, summarising, *answering = simulator.requests
    assert "tool_choice" not in summarising
    assert answering[0]["tool_choice"] == choice
    assert all("tool_choice" not in request for request in answering[1:])
