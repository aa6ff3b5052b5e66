"""AG-UI's published clients, 1.0 and 0.x, on the real service: what their pages show."""

import asyncio
from typing import Any

import httpx2
import pytest

from tests.kit.patience import patience
from tests.wires.ag_ui.conftest import Opens
from tests.wires.ag_ui.pages import Page, State
from turnwire_simulator import (
    Answer,
    Cut,
    ErrorEvent,
    Gate,
    Simulator,
    Text,
    Thinking,
    ToolUse,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOTH = pytest.mark.parametrize("client", ["1.0", "0.x"])
TITLE = [{"name": "page_title", "description": "The page's title.", "parameters": {}}]
OK = Answer(Text("Ok."))


def calling(name: str, *, id: str, **input: Any) -> Answer:
    """The model says something and wants a tool to run."""
    return Answer(Text("Wait."), ToolUse(name, input, id=id), stop_reason="tool_use")


def said(simulator: Simulator) -> list[str]:
    """The texts of the last request's user messages."""
    messages = [m["content"] for m in simulator.requests[-1]["messages"] if m["role"] == "user"]
    blocks = [block for content in messages if isinstance(content, list) for block in content]
    return [m for m in messages if isinstance(m, str)] + [
        block["text"] for block in blocks if block["type"] == "text"
    ]


def shown(simulator: Simulator) -> str:
    """The tool's result in the last request, as the model was shown it."""
    return str(simulator.requests[-1]["messages"][-1]["content"][0]["content"])


async def asking(page: Page, **options: Any) -> State:
    """The page when the answer to its first message has ended, or rests."""
    await page.say("Hi", id="m1")
    return await page.run(**options)


@BOTH
async def test_a_page_shows_thinking_text_a_call_its_result_and_the_end(
    client: str, opens: Opens, simulator: Simulator
) -> None:
    page = await opens(client)
    call = ToolUse("look", {"path": "a"}, id=f"look_{client[0]}")
    simulator.program(
        Answer(Thinking("Hm."), Text(["Hel", "lo"]), call, stop_reason="tool_use"),
        Answer(Text("Done.")),
    )
    state = await asking(page)
    assert (state.thinking, state.text) == ("Hm.", "HelloDone.")
    assert list(state.results.values()) == ["saw a"]
    assert list(state.calls.values()) == ['{"path": "a"}']
    assert [m["role"] for m in state.messages] == [
        "user",
        "reasoning",
        "assistant",
        "assistant",
        "tool",
        "assistant",
    ]
    assert (state.end["type"], state.end["result"]["stopReason"]) == ("RUN_FINISHED", "end_turn")
    assert state.end["outcome"] == {"type": "success"}
    assert ("usage" in state.end) is (client == "1.0")
    assert not state.is_running


@BOTH
async def test_a_page_of_a_second_message_shows_both_answers(
    client: str, opens: Opens, simulator: Simulator
) -> None:
    page = await opens(client)
    simulator.program(Answer(Text("One.")), Answer(Text("Two.")))
    await asking(page)
    await page.say("More", id="m2")
    state = await page.run()
    assert (state.text, said(simulator)) == ("One.Two.", ["Hi", "More"])


# A person decides


@BOTH
async def test_an_allowed_call_runs_in_the_turn_that_has_waited_unread(
    client: str, opens: Opens, simulator: Simulator
) -> None:
    page = await opens(client)
    simulator.program(calling("erase", id=f"allow_{client[0]}", path="a"), OK)
    waiting = await asking(page)
    # Its stream has ended: the grace for readers who stay away, none here, is over long since.
    (interrupt,) = waiting.interrupts
    assert (waiting.end["outcome"]["type"], waiting.text) == ("interrupt", "Wait.")
    assert interrupt["toolCallId"] in waiting.calls
    payload = {"approved": True, "editedArgs": {"path": "b"}}
    entry = {"interruptId": interrupt["id"], "status": "resolved", "payload": payload}
    state = await page.run(resume=[entry])
    assert "erased b" in state.results[interrupt["id"]]
    assert (state.text, state.interrupts, state.failures) == ("Wait.Ok.", [], [])
    assert "MESSAGES_SNAPSHOT" not in state.types
    assert state.types.count("TEXT_MESSAGE_START") == 1


REFUSALS: list[dict[str, Any]] = [
    {"status": "resolved", "payload": {"approved": False, "reason": "not today"}},
    {"status": "resolved", "payload": {"approved": "no"}},
    {"status": "resolved", "payload": "yes"},
    {"status": "cancelled"},
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=["denied", "no bool", "no object", "cancelled"])
async def test_whatever_is_no_yes_is_a_no(
    refusal: dict[str, Any], opens: Opens, simulator: Simulator
) -> None:
    page = await opens("1.0")
    simulator.program(calling("erase", id=f"deny_{REFUSALS.index(refusal)}", path="a"), OK)
    (interrupt,) = (await asking(page)).interrupts
    state = await page.run(resume=[{"interruptId": interrupt["id"], **refusal}])
    assert "did not allow" in state.results[interrupt["id"]]
    assert (state.text, state.failures) == ("Wait.Ok.", [])
    assert ("not today" in shown(simulator)) is ("reason" in str(refusal))


@BOTH
async def test_where_somebody_else_has_decided_the_page_shows_what_became_of_it(
    client: str, opens: Opens, simulator: Simulator, http: httpx2.AsyncClient
) -> None:
    page, other = await opens(client), await opens(client)
    simulator.program(calling("erase", id=f"else_{client[0]}", path="a"), OK)
    (interrupt,) = (await asking(page)).interrupts
    entry = {"interruptId": interrupt["id"], "status": "resolved", "payload": {"approved": False}}
    await other.say("Hi", id="m1")
    await other.run(resume=[entry])
    entry["payload"] = {"approved": True}
    state = await page.run(resume=[entry])
    assert "did not allow" in state.results[interrupt["id"]]
    # It is told all of the answer again; nothing is there twice.
    assert (state.text, state.failures) == ("Wait.Ok.", [])
    assert len(state.messages) == 5


@BOTH
async def test_a_message_in_place_of_a_decision_takes_the_turns_place(
    client: str, opens: Opens, simulator: Simulator
) -> None:
    page = await opens(client)
    simulator.program(calling("page_title", id=f"rather_{client[0]}"), OK)
    waiting = await asking(page, tools=TITLE)
    await page.say("Never mind", id="m2")
    state = await page.run()
    assert (state.text, state.failures) == ("Wait.Ok.", [])
    assert waiting.end["outcome"]["type"] == "success"


@BOTH
async def test_two_questions_and_a_tool_of_the_page_are_answered_in_one_request(
    client: str, opens: Opens, simulator: Simulator
) -> None:
    page = await opens(client)
    first, second, own = (f"{name}_{client[0]}" for name in ("first", "second", "mine"))
    calls = [ToolUse("erase", {"path": id}, id=id) for id in (first, second)]
    title = ToolUse("page_title", {}, id=own)
    simulator.program(Answer(*calls, title, stop_reason="tool_use"), OK)
    waiting = await asking(page, tools=TITLE)
    assert [interrupt["id"] for interrupt in waiting.interrupts] == [first, second]
    await page.give(own, "Turnwire")
    resume = [
        {"interruptId": first, "status": "resolved", "payload": {"approved": True}},
        {"interruptId": second, "status": "resolved", "payload": {"approved": False}},
    ]
    state = await page.run(tools=TITLE, resume=resume)
    assert state.results[first] == f"erased {first}"
    assert "did not allow" in state.results[second]
    assert (state.results[own], state.text, len(state.messages)) == ("Turnwire", "Ok.", 8)


# The page's own tools


@BOTH
async def test_what_the_pages_tool_gives_late_goes_into_the_same_turn(
    client: str, opens: Opens, simulator: Simulator
) -> None:
    page = await opens(client)
    id = f"own_{client[0]}"
    simulator.program(calling("page_title", id=id), OK)
    waiting = await asking(page, tools=TITLE)
    pending = {"pendingToolCallIds": [id]} if client == "1.0" else {}
    assert waiting.end["outcome"] == {"type": "success", **pending}
    await page.give(id, "Turnwire")
    state = await page.run(tools=TITLE)
    assert (state.text, state.results, shown(simulator)) == (
        "Wait.Ok.",
        {id: "Turnwire"},
        "Turnwire",
    )
    assert len(state.messages) == 5


async def test_a_tool_that_failed_in_the_page_is_an_error_to_the_model(
    opens: Opens, simulator: Simulator
) -> None:
    page = await opens("1.0")
    simulator.program(calling("page_title", id="own_error"), OK)
    await asking(page, tools=TITLE)
    await page.give("own_error", "no document", error="no document")
    await page.run(tools=TITLE)
    (block,) = simulator.requests[-1]["messages"][-1]["content"]
    assert (block["content"], block["is_error"]) == ("no document", True)


async def test_two_steps_with_the_pages_tool_are_two_answers(
    opens: Opens, simulator: Simulator
) -> None:
    page = await opens("1.0")
    simulator.program(calling("page_title", id="own_1"), calling("page_title", id="own_2"), OK)
    await asking(page, tools=TITLE)
    await page.give("own_1", "one")
    await page.run(tools=TITLE)
    await page.give("own_2", "two")
    state = await page.run(tools=TITLE)
    assert (state.text, state.results) == ("Wait.Wait.Ok.", {"own_1": "one", "own_2": "two"})
    assert "MESSAGES_SNAPSHOT" not in state.types


async def test_a_tool_of_the_servers_name_stays_the_servers(
    opens: Opens, simulator: Simulator
) -> None:
    page = await opens("1.0")
    simulator.program(calling("look", id="servers", path="a"), OK)
    state = await asking(page, tools=[{"name": "look", "description": "mine", "parameters": {}}])
    assert (state.results, state.text) == ({"servers": "saw a"}, "Wait.Ok.")


@BOTH
async def test_an_answer_to_a_turn_that_was_stopped_meanwhile_shows_its_end(
    client: str, opens: Opens, simulator: Simulator, http: httpx2.AsyncClient, thread: str
) -> None:
    page = await opens(client)
    id = f"stopped_{client[0]}"
    simulator.program(calling("page_title", id=id))
    await asking(page, tools=TITLE)
    stopped = await http.post(f"/v1/ag-ui/{thread}/stop")
    assert stopped.json() == {"stopped": True}
    await page.give(id, "Turnwire")
    asked = len(simulator.requests)
    state = await page.run(tools=TITLE)
    assert state.results == {id: "Cancelled by the user."}
    assert (state.end["result"]["stopReason"], state.text) == ("cancelled", "Wait.")
    assert len(simulator.requests) == asked


# Stop, and hanging up


@BOTH
async def test_stop_closes_the_upstream_and_keeps_the_text(
    client: str, opens: Opens, simulator: Simulator, http: httpx2.AsyncClient, thread: str
) -> None:
    page = await opens(client)
    simulator.program(Answer(Text(["Once upon", Gate()])))
    aborted = simulator.aborted_streams
    await page.say("Hi", id="m1")
    await page.begin()
    await page.shows("Once upon")
    assert (await http.post(f"/v1/ag-ui/{thread}/stop")).json() == {"stopped": True}
    state = await page.ends()
    async with patience():
        await simulator.wait(lambda: simulator.aborted_streams > aborted)
    assert (state.text, state.failures) == ("Once upon", [])
    assert state.end["result"]["stopReason"] == "cancelled"
    assert state.end.get("outcome") == ({"type": "cancelled"} if client == "1.0" else None)
    assert (await http.post(f"/v1/ag-ui/{thread}/stop")).json() == {"stopped": False}
    simulator.program(OK)
    await page.say("Go on", id="m2")
    assert (await page.run()).text == "Once uponOk."


async def test_a_call_that_was_cut_off_has_a_result_so_that_no_page_runs_it(
    opens: Opens, simulator: Simulator, http: httpx2.AsyncClient, thread: str
) -> None:
    page = await opens("1.0")
    call = ToolUse("page_title", {}, id="cut_off", deltas=['{"part"', Gate()])
    simulator.program(Answer(call, stop_reason="tool_use"))
    await page.say("Hi", id="m1")
    await page.begin(tools=TITLE)
    await page.shows("part")
    await http.post(f"/v1/ag-ui/{thread}/stop")
    state = await page.ends()
    assert list(state.results) == ["cut_off"]


@BOTH
async def test_hanging_up_ends_the_bill(client: str, opens: Opens, simulator: Simulator) -> None:
    page = await opens(client)
    simulator.program(Answer(Text(["Once upon", Gate()])))
    aborted = simulator.aborted_streams
    await page.say("Hi", id="m1")
    await page.begin()
    await page.shows("Once upon")
    await page.do("leave")
    async with patience():
        await simulator.wait(lambda: simulator.aborted_streams > aborted)


@BOTH
async def test_after_a_lost_network_the_same_run_shows_the_answer_once(
    client: str, opens: Opens, simulator: Simulator
) -> None:
    page = await opens(client)
    gate = Gate()
    simulator.program(Answer(Thinking("Hm."), Text(["Once upon", gate, " a time."])))
    asked = len(simulator.requests)
    await page.say("Hi", id="m1")
    await page.begin(options={"on_detach": "continue"})
    await page.shows("Once upon")
    await page.do("leave")
    # The page has half an answer, and asks as it did before.
    await page.begin(options={"on_detach": "continue"})
    gate.open()
    state = await page.ends()
    assert (state.text, state.thinking, state.failures) == ("Once upon a time.", "Hm.", [])
    assert (len(state.messages), len(simulator.requests)) == (3, asked + 1)


# What goes wrong


@BOTH
async def test_an_error_in_mid_stream_is_shown_and_the_page_can_ask_again(
    client: str, opens: Opens, simulator: Simulator
) -> None:
    page = await opens(client)
    simulator.program(Answer(Text(["Once", ErrorEvent("invalid_request_error", "bad")])))
    state = await asking(page)
    assert state.end["type"] == "RUN_ERROR"
    assert state.end["code"] == "invalid_request"
    simulator.program(OK)
    await page.do("set", messages=[{"id": "m1", "role": "user", "content": "Hi"}])
    state = await page.run()
    assert (state.text, state.end["type"]) == ("Ok.", "RUN_FINISHED")


@BOTH
async def test_what_a_failed_attempt_said_is_shown_no_more(
    client: str, opens: Opens, simulator: Simulator
) -> None:
    page = await opens(client)
    look = calling("look", id=f"again_{client[0]}", path="a")
    simulator.program(
        look,
        Answer(Thinking("Hm, hm."), Text(["Once", Cut()])),
        Answer(Thinking("Hm."), Text("Ok.")),
    )
    state = await asking(page)
    assert "MESSAGES_SNAPSHOT" in state.types
    assert (state.text, state.thinking, state.failures) == ("Wait.Ok.", "Hm.", [])
    assert list(state.results.values()) == ["saw a"]


# Again, otherwise, elsewhere


@BOTH
async def test_regenerating_replaces_the_answer(
    client: str, opens: Opens, simulator: Simulator
) -> None:
    page = await opens(client)
    simulator.program(Answer(Text("One.")), Answer(Text("Two.")), OK)
    await asking(page)
    await page.do("set", messages=[{"id": "m1", "role": "user", "content": "Hi"}])
    assert (await page.run()).text == "Two."
    await page.say("More", id="m2")
    await page.run()
    assert "One." not in str(simulator.requests[-1]["messages"])


@BOTH
async def test_an_edited_message_takes_back_all_behind_it(
    client: str, opens: Opens, simulator: Simulator
) -> None:
    page = await opens(client)
    simulator.program(Answer(Text("One.")), Answer(Text("Two.")), OK)
    await asking(page)
    await page.say("More", id="m2")
    await page.run()
    await page.do("set", messages=[{"id": "m1", "role": "user", "content": "Hello"}])
    state = await page.run()
    assert (state.text, said(simulator)) == ("Ok.", ["Hello"])


async def test_the_same_request_three_times_asks_the_model_once(
    simulator: Simulator, http: httpx2.AsyncClient, thread: str
) -> None:
    gate = Gate()
    simulator.program(Answer(Text(["Hel", gate, "lo"])))
    asked = len(simulator.requests)
    body = {
        "threadId": thread,
        "runId": "r1",
        "messages": [{"id": "m1", "role": "user", "content": "Hi"}],
    }

    async def read() -> str:
        async with http.stream("POST", "/v1/ag-ui", json=body) as response:
            lines = [line async for line in response.aiter_lines()]
        return "".join(line for line in lines if "TEXT_MESSAGE_CONTENT" in line)

    async with patience():
        reading = [asyncio.create_task(read()) for _ in range(3)]
        await gate.reached()
        gate.open()
        texts = await asyncio.gather(*reading)
    assert all("Hel" in text and "lo" in text for text in texts)
    assert len(simulator.requests) == asked + 1


@BOTH
async def test_a_tab_that_has_missed_a_message_just_goes_on(
    client: str, opens: Opens, simulator: Simulator
) -> None:
    page, other = await opens(client), await opens(client)
    simulator.program(Answer(Text("One.")), Answer(Text("Two.")))
    await asking(page)
    await other.say("More", id="m2")
    assert (await other.run()).text == "Two."
    assert said(simulator) == ["Hi", "More"]


async def test_a_tab_that_asks_while_another_ones_answer_streams_is_told_why_it_may_not(
    opens: Opens, simulator: Simulator
) -> None:
    page, other = await opens("1.0"), await opens("1.0")
    gate = Gate()
    simulator.program(Answer(Text(["Once upon", gate])))
    await page.say("Hi", id="m1")
    await page.begin()
    await page.shows("Once upon")
    await other.say("More", id="m2")
    state = await other.run()
    gate.open()
    await page.ends()
    assert state.failures == ["HTTP 409: a turn is running in this conversation"]


async def test_a_conversation_from_elsewhere_comes_along_once(
    opens: Opens, simulator: Simulator
) -> None:
    page = await opens("1.0")
    simulator.program(Answer(Text("One.")), Answer(Text("Two.")))
    before = [
        {"id": "e1", "role": "user", "content": "Good day"},
        {"id": "e2", "role": "assistant", "content": "Good day to you."},
    ]
    await page.do("set", messages=before)
    await asking(page)
    messages = simulator.requests[-1]["messages"]
    assert [m["role"] for m in messages] == ["user", "assistant", "user"]
    assert "Good day to you." in str(messages)
    await page.say("More", id="m2")
    await page.run()
    assert said(simulator) == ["Good day", "Hi", "More"]
