"""CopilotKit's published core, on the service itself in place of CopilotKit's Node.js runtime."""

from typing import Any

import httpx2
import pytest

from tests.kit.patience import patience
from tests.wires.ag_ui.conftest import Opens
from tests.wires.ag_ui.pages import Page, State
from turnwire_simulator import Answer, Gate, Simulator, Text, Thinking, ToolUse

pytestmark = pytest.mark.asyncio(loop_scope="module")

OK = Answer(Text("Ok."))
STAYS: dict[str, Any] = {"turnwire": {"on_detach": "continue"}}


def calling(name: str, *, id: str, **input: Any) -> Answer:
    """The model says something and wants a tool to run."""
    return Answer(Text("Wait."), ToolUse(name, input, id=id), stop_reason="tool_use")


async def asking(page: Page) -> State:
    """The page when the answer to its first message has ended, or rests."""
    await page.say("Hi", id="m1")
    return await page.run()


async def test_a_page_finds_its_agent_and_shows_the_answer(
    opens: Opens, simulator: Simulator
) -> None:
    page = await opens("copilotkit")
    simulator.program(calling("look", id="ck_look", path="a"), OK)
    state = await asking(page)
    assert (state.text, state.results, state.failures) == ("Wait.Ok.", {"ck_look": "saw a"}, [])


async def test_a_tool_of_the_page_runs_once_and_the_answer_goes_on_by_itself(
    opens: Opens, simulator: Simulator
) -> None:
    page = await opens("copilotkit")
    await page.do("tool", name="page_title", result="Turnwire")
    simulator.program(calling("page_title", id="ck_title", part="all"), OK)
    state = await asking(page)
    assert (state.text, state.failures) == ("Wait.Ok.", [])
    assert (state.ran, state.results) == ([{"part": "all"}], {"ck_title": "Turnwire"})
    assert len(state.messages) == 5


async def test_an_approval_is_an_interrupt_that_the_page_resumes(
    opens: Opens, simulator: Simulator
) -> None:
    page = await opens("copilotkit")
    simulator.program(calling("erase", id="ck_erase", path="a"), OK)
    (interrupt,) = (await asking(page)).interrupts
    payload = {"approved": True}
    entry = {"interruptId": interrupt["id"], "status": "resolved", "payload": payload}
    state = await page.run(resume=[entry])
    assert (state.text, state.results) == ("Wait.Ok.", {"ck_erase": "erased a"})


async def test_stop_closes_the_upstream_keeps_the_text_and_the_page_goes_on(
    opens: Opens, simulator: Simulator
) -> None:
    page = await opens("copilotkit")
    simulator.program(Answer(Text(["Once upon", Gate()])))
    aborted = simulator.aborted_streams
    await page.say("Hi", id="m1")
    await page.begin()
    await page.shows("Once upon")
    await page.do("stop")
    state = await page.ends()
    async with patience():
        await simulator.wait(lambda: simulator.aborted_streams > aborted)
    assert (state.text, state.failures) == ("Once upon", [])
    simulator.program(OK)
    await page.say("Go on", id="m2")
    assert (await page.run()).text == "Once uponOk."


async def test_a_call_that_was_stopped_in_mid_input_does_not_run_in_the_page(
    opens: Opens, simulator: Simulator
) -> None:
    page = await opens("copilotkit")
    await page.do("tool", name="page_title", result="Turnwire")
    call = ToolUse("page_title", {}, id="ck_cut", deltas=['{"part"', Gate()])
    simulator.program(Answer(call, stop_reason="tool_use"))
    await page.say("Hi", id="m1")
    await page.begin()
    await page.shows("part")
    await page.do("stop")
    assert (await page.ends()).ran == []


async def test_a_tool_that_ends_when_its_turn_was_stopped_asks_the_model_nothing_more(
    opens: Opens, simulator: Simulator, http: httpx2.AsyncClient, thread: str
) -> None:
    page = await opens("copilotkit")
    await page.do("tool", name="page_title")
    simulator.program(calling("page_title", id="ck_late"))
    await page.say("Hi", id="m1")
    await page.begin()
    await page.do("runs")
    asked = len(simulator.requests)
    assert (await http.post(f"/v1/ag-ui/{thread}/stop")).json() == {"stopped": True}
    await page.do("releases", result="Turnwire")
    state = await page.ends()
    assert (state.text, state.is_running) == ("Wait.", False)
    assert state.end["result"]["stopReason"] == "cancelled"
    assert (len(state.ran), len(simulator.requests)) == (1, asked)


async def test_a_page_that_is_loaded_again_shows_what_was_said_and_what_is_being_said(
    opens: Opens, simulator: Simulator
) -> None:
    page, gate = await opens("copilotkit"), Gate()
    await page.do("properties", **STAYS)
    look = calling("look", id="ck_before", path="a")
    simulator.program(look, OK, Answer(Thinking("Hm."), Text(["Once upon", gate, " a time."])))
    await asking(page)
    await page.say("More", id="m2")
    await page.begin()
    await page.shows("Once upon")
    loaded = await opens("copilotkit")
    await loaded.do("connect")
    half = await loaded.shows("Once upon")
    assert half.is_running
    gate.open()
    old, new = await page.ends(), await loaded.ends()
    assert old.messages == new.messages
    assert (new.text, new.thinking) == ("Wait.Ok.Once upon a time.", "Hm.")
    assert new.failures == []
    # What it goes on with is the same conversation.
    simulator.program(OK)
    await loaded.say("And", id="m3")
    assert (await loaded.run()).text == "Wait.Ok.Once upon a time.Ok."


async def test_a_page_that_loses_its_network_connects_again_and_shows_the_answer_once(
    opens: Opens, simulator: Simulator
) -> None:
    page, gate = await opens("copilotkit"), Gate()
    await page.do("properties", **STAYS)
    simulator.program(OK, Answer(Thinking("Hm."), Text(["Once upon", gate, " a time."])))
    await page.do("connect")
    await page.ends()
    await asking(page)
    await page.say("More", id="m2")
    await page.begin()
    await page.shows("Once upon")
    await page.do("connect")
    gate.open()
    state = await page.ends()
    assert (state.text, state.thinking) == ("Ok.Once upon a time.", "Hm.")


async def test_a_page_on_a_new_conversation_connects_to_nothing(opens: Opens) -> None:
    page = await opens("copilotkit")
    await page.do("connect")
    state = await page.ends()
    assert (state.messages, state.failures) == ([], [])


async def test_a_page_that_is_loaded_again_finds_the_approval_it_waits_for(
    opens: Opens, simulator: Simulator
) -> None:
    page = await opens("copilotkit")
    simulator.program(calling("erase", id="ck_wait", path="a"), OK)
    await asking(page)
    loaded = await opens("copilotkit")
    await loaded.do("connect")
    (interrupt,) = (await loaded.ends()).interrupts
    entry = {"interruptId": interrupt["id"], "status": "cancelled"}
    state = await loaded.run(resume=[entry])
    assert "did not allow" in state.results["ck_wait"]
    assert state.text == "Wait.Ok."
