"""Pages of the published client, v5, v6 and v7, against the service: what people see and do."""

import asyncio
import uuid
from typing import Any

import pytest

from tests.kit.patience import patience
from tests.wires.ai_sdk.conftest import Stage
from tests.wires.ai_sdk.page import Page
from turnwire_simulator import Answer, ErrorEvent, Gate, Text, Thinking, ToolUse

pytestmark = pytest.mark.asyncio(loop_scope="session")

every_version = pytest.mark.parametrize("version", ["v5", "v6", "v7"])
with_approvals = pytest.mark.parametrize("version", ["v6", "v7"])
OK = Answer(Text("Ok."))
GOES_ON = {"on_detach": "continue"}
TITLE = {"name": "page_title", "description": "Its title.", "input_schema": {"type": "object"}}
OFFER = {"client_tools": [TITLE]}
GIF = "R0lGODlhAQABAAAAACwAAAAAAQABAAA="


def chat() -> str:
    """A chat that nobody has seen."""
    return uuid.uuid4().hex


def calling(name: str, **input: Any) -> Answer:
    """The model wants that."""
    return Answer(Text("Wait."), ToolUse(name, input), stop_reason="tool_use")


def texts(message: dict[str, Any]) -> list[str]:
    """What a message says."""
    return [part["text"] for part in message["parts"] if part["type"] == "text"]


def call(view: dict[str, Any]) -> dict[str, Any]:
    """The one tool call of the last message."""
    parts = view["messages"][-1]["parts"]
    (part,) = (part for part in parts if part["type"].startswith("tool-"))
    found: dict[str, Any] = part
    return found


async def loaded(stage: Stage, page: Page) -> dict[str, Any]:
    """What a page begins with."""
    found: dict[str, Any] = await stage.get(f"{page.url}/messages")
    return found


@every_version
async def test_an_answer_with_thoughts_and_tools_is_shown_and_found_again(
    stage: Stage, version: str
) -> None:
    stage.simulator.program(
        Answer(Thinking("Hm."), ToolUse("look", {"path": "a"}), stop_reason="tool_use"), OK
    )
    page = await stage.browser.open(chat(), version)
    view = await page.send("What is a?")
    assert (view["status"], view["finishes"][0]["reason"]) == ("ready", "stop")
    part = call(view)
    assert (part["input"], part["output"]) == ({"path": "a"}, {"path": "a", "size": 7})
    kinds = [part["type"] for part in view["messages"][-1]["parts"]]
    assert kinds == ["step-start", "reasoning", "tool-look", "step-start", "text"]
    again = await loaded(stage, page)
    assert again["activeStreamId"] is None
    assert [part["type"] for part in again["messages"][-1]["parts"]] == kinds
    assert [message["id"] for message in again["messages"]] == [
        message["id"] for message in view["messages"]
    ]


@with_approvals
@pytest.mark.parametrize("is_allowed", [True, False])
async def test_a_decision_goes_on_with_the_same_answer_however_late_it_comes(
    stage: Stage, version: str, is_allowed: bool
) -> None:
    stage.simulator.program(calling("erase", path="a"), OK)
    page = await stage.browser.open(chat(), version)
    view = await page.send("Erase a.")  # The stream is over: longer than the grace time, none.
    asked = call(view)
    assert (asked["state"], view["status"]) == ("approval-requested", "ready")
    await page.do("approve", tool_id=asked["toolCallId"], approved=is_allowed, reason="So.")
    view = await page.until("finishes.length === 2")
    assert texts(view["messages"][-1]) == ["Wait.", "Ok."]
    assert len(view["messages"]) == 2
    part = call(view)
    assert part["state"] == ("output-available" if is_allowed else "output-denied")
    assert part["approval"]["approved"] is is_allowed
    kept = (await loaded(stage, page))["messages"][-1]["parts"][2]
    assert (kept["state"], kept["approval"]) == (part["state"], part["approval"])
    assert len(stage.simulator.requests) == 2


async def test_a_page_of_v5_is_asked_by_a_part_of_its_own_and_decides_by_rest(stage: Stage) -> None:
    stage.simulator.program(calling("erase", path="a"), OK)
    page = await stage.browser.open(chat(), "v5", body=GOES_ON)
    view = await page.send("Erase a.")
    asked = view["messages"][-1]["parts"][-1]
    assert asked["type"] == "data-tool-approval"
    conversation = view["messages"][-1]["metadata"]["turnwire"]["conversation"]
    decision = {"tool_id": asked["data"]["toolCallId"], "decision": "allow"}
    await stage.post(f"/v1/conversations/{conversation}/decide", decision)
    await page.do("go")
    view = await page.view()
    assert (view["status"], texts(view["messages"][-1])) == ("ready", ["Wait.", "Ok."])
    assert view["messages"][-1]["parts"][3]["data"]["decision"] == "allow"
    assert call(view)["output"] == "erased a"


@every_version
async def test_a_tool_of_the_page_runs_once_and_its_output_goes_on(
    stage: Stage, version: str
) -> None:
    stage.simulator.program(calling("page_title"), OK)
    page = await stage.browser.open(
        chat(), version, body=OFFER, tools={"page_title": {"title": "T"}}
    )
    await page.send("Which page?")
    view = await page.until("finishes.length === 2 && status === 'ready'")
    assert texts(view["messages"][-1]) == ["Wait.", "Ok."]
    assert (len(view["ran"]), call(view)["output"]) == (1, {"title": "T"})
    (shown,) = stage.simulator.requests[-1]["messages"][-1]["content"]
    assert shown["content"] == '{"title":"T"}'
    assert (await loaded(stage, page))["messages"][-1]["parts"][2]["output"] == {"title": "T"}


@every_version
async def test_a_tool_of_the_page_may_take_its_time_and_a_page_loaded_meanwhile_can_answer(
    stage: Stage, version: str
) -> None:
    stage.simulator.program(calling("page_title"), OK)
    first = await stage.browser.open(chat(), version, body=OFFER, tools={"page_title": None})
    await first.send("Which page?")
    begins = await loaded(stage, first)
    page = await stage.browser.open(
        first.chat, version, messages=begins["messages"], body=OFFER, tools={"page_title": None}
    )
    await page.do("resume")
    view = await page.view()
    assert (view["status"], len(view["ran"]), call(view)["state"]) == (
        "ready",
        1,
        "input-available",
    )
    given = {"tool": "page_title", "toolCallId": view["ran"][0]}
    await page.do("output", **given, state="output-error", errorText="No title.")
    view = await page.until("finishes.length === 2 && status === 'ready'")
    assert texts(view["messages"][-1]) == ["Wait.", "Ok."]
    assert call(view)["errorText"] == "No title."
    # Of the same call the first page hears what became of it, and nothing of it is asked again.
    await first.do("output", **given, output="late")
    view = await first.until("finishes.length === 2 && status === 'ready'")
    assert texts(view["messages"][-1]) == ["Wait.", "Ok."]
    assert call(view)["errorText"] == "No title."
    assert len(stage.simulator.requests) == 2


async def test_of_two_tools_of_the_page_the_one_that_still_runs_is_not_run_again(
    stage: Stage,
) -> None:
    calls = (ToolUse("page_title", {"part": part}) for part in ("head", "foot"))
    stage.simulator.program(Answer(*calls, stop_reason="tool_use"), OK)
    page = await stage.browser.open(chat(), body=OFFER, tools={"page_title": None}, auto=False)
    first, second = (await page.send("Which page?"))["ran"]
    await page.do("output", tool="page_title", toolCallId=first, output="H")
    await page.do("go")
    view = await page.view()
    assert (view["status"], view["ran"]) == ("ready", [first, second])
    await page.do("output", tool="page_title", toolCallId=second, output="F")
    await page.do("go")
    view = await page.view()
    assert (texts(view["messages"][-1]), view["ran"]) == (["Ok."], [first, second])
    outputs = [part["output"] for part in view["messages"][-1]["parts"] if "output" in part]
    assert outputs == ["H", "F"]


@every_version
async def test_stop_ends_the_answer_and_what_was_said_stays(stage: Stage, version: str) -> None:
    gate, aborted = Gate(), stage.simulator.aborted_streams
    stage.simulator.program(Answer(Text(["Once ", gate, "upon."])))
    page = await stage.browser.open(chat(), version)
    sending = asyncio.create_task(page.send("A story."))
    view = await page.until("last.parts.some(part => part.text === 'Once ')")
    answer = {"assistantMessage": {"id": view["messages"][-1]["id"]}}
    assert await stage.post(f"{page.url}/stop", answer) == {"outcome": "cancelling"}
    view = await sending
    assert (view["status"], texts(view["messages"][-1])) == ("ready", ["Once "])
    async with patience():
        await stage.simulator.wait(lambda: stage.simulator.aborted_streams > aborted)
    assert await stage.post(f"{page.url}/stop", answer) == {"outcome": "already_done"}
    last = (await loaded(stage, page))["messages"][-1]
    assert (texts(last), last["metadata"]["turnwire"]["stopReason"]) == (["Once "], "cancelled")


async def test_a_page_that_hangs_up_ends_what_it_asked_for(stage: Stage) -> None:
    aborted = stage.simulator.aborted_streams
    stage.simulator.program(Answer(Text(["Once ", Gate(), "upon."])))
    page = await stage.browser.open(chat())
    sending = asyncio.create_task(page.send("A story."))
    await page.until("last.parts.some(part => part.text === 'Once ')")
    await page.do("stop")
    await sending
    async with patience():
        await stage.simulator.wait(lambda: stage.simulator.aborted_streams > aborted)


@every_version
async def test_a_page_loaded_in_mid_stream_reads_the_answer_to_its_end(
    stage: Stage, version: str
) -> None:
    gate = Gate()
    stage.simulator.program(Answer(Text(["Once ", gate, "upon."])))
    first = await stage.browser.open(chat(), version)
    sending = asyncio.create_task(first.send("A story."))
    view = await first.until("last.parts.some(part => part.text === 'Once ')")
    begins = await loaded(stage, first)
    assert begins["activeStreamId"] == view["messages"][-1]["id"]
    page = await stage.browser.open(first.chat, version, messages=begins["messages"])
    resuming = asyncio.create_task(page.do("resume"))
    await page.until("last.parts.some(part => part.text === 'Once ')")
    gate.open()
    await resuming
    assert (await page.view())["messages"] == (await sending)["messages"]
    await page.do("resume")  # Nothing runs any more.
    view = await page.view()
    assert (view["status"], len(view["messages"])) == ("ready", 2)


async def test_after_a_lost_network_the_page_has_everything_once(stage: Stage) -> None:
    gate = Gate()
    stage.simulator.program(Answer(Text(["Once ", gate, "upon."])))
    page = await stage.browser.open(chat(), body=GOES_ON)
    sending = asyncio.create_task(page.send("A story."))
    await page.until("last.parts.some(part => part.text === 'Once ')")
    await page.do("cut")
    view = await sending
    assert (view["status"], view["finishes"][0]["isDisconnect"]) == ("error", True)
    healing = asyncio.create_task(page.do("heal"))
    await page.until("status === 'streaming'")
    gate.open()
    await healing
    view = await page.view()
    assert (view["status"], texts(view["messages"][-1])) == ("ready", ["Once upon."])
    assert len(stage.simulator.requests) == 1


@every_version
async def test_a_failure_in_mid_stream_is_told_in_words_and_leaves_what_was_said(
    stage: Stage, version: str
) -> None:
    refused = ErrorEvent("invalid_request_error", "no")
    stage.simulator.program(Answer(Text(["Once ", refused])), OK)
    page = await stage.browser.open(chat(), version)
    view = await page.send("A story.")
    assert view["status"] == "error"
    assert view["error"]
    assert "{" not in view["error"]
    answer = view["messages"][-1]
    assert (texts(answer), answer["parts"][1]["state"]) == (["Once "], "done")
    assert answer["metadata"]["turnwire"]["error"]["code"] == "invalid_request"
    assert texts((await page.send("Again."))["messages"][-1]) == ["Ok."]


@pytest.mark.parametrize(
    ("version", "shown"), [("v5", ["Onc", "Ok."]), ("v6", ["Onc", "Ok."]), ("v7", ["Ok."])]
)
async def test_an_attempt_that_failed_is_taken_back_where_the_client_can(
    stage: Stage, version: str, shown: list[str]
) -> None:
    stage.simulator.program(Answer(Text(["Onc", ErrorEvent()])), OK)
    page = await stage.browser.open(chat(), version)
    view = await page.send("A story.")
    assert texts(view["messages"][-1]) == shown
    assert next(part["type"] for part in view["data"]) == "data-retry"
    assert texts((await loaded(stage, page))["messages"][-1]) == ["Ok."]


@every_version
async def test_regenerating_and_editing_take_back_what_they_replace(
    stage: Stage, version: str
) -> None:
    stage.simulator.program(*(Answer(Text(text)) for text in ("One.", "Two.", "Three.", "Four.")))
    page = await stage.browser.open(chat(), version)
    message = (await page.send("First."))["messages"][0]["id"]
    await page.do("regenerate")
    view = await page.view()
    assert [texts(one) for one in view["messages"]] == [["First."], ["Two."]]
    await page.send("Second.")
    await page.do("edit", text="Other.", message=message)
    view = await page.view()
    assert [texts(one) for one in view["messages"]] == [["Other."], ["Four."]]
    again = await loaded(stage, page)
    assert [texts(one) for one in again["messages"]] == [["Other."], ["Four."]]
    assert again["messages"][0]["id"] == message
    assert len(stage.simulator.requests[-1]["messages"]) == 1


async def test_a_message_that_is_edited_to_the_same_words_is_asked_again(stage: Stage) -> None:
    stage.simulator.program(Answer(Text("One.")), Answer(Text("Two.")))
    page = await stage.browser.open(chat())
    message = (await page.send("First."))["messages"][0]["id"]
    await page.do("edit", text="First.", message=message)
    assert texts((await page.view())["messages"][-1]) == ["Two."]


async def test_a_stale_tab_adds_to_the_conversation_and_takes_nothing_back(stage: Stage) -> None:
    stage.simulator.program(*(Answer(Text(text)) for text in ("One.", "Two.", "Three.")))
    first = await stage.browser.open(chat())
    second = await stage.browser.open(first.chat)
    await first.send("First.")
    await second.send("Second.")
    view = await first.send("Third.")
    assert [texts(one)[0] for one in view["messages"]] == ["First.", "One.", "Third.", "Three."]
    asked = [one["content"] for one in stage.simulator.requests[-1]["messages"]]
    assert len(asked) == 5
    assert len((await loaded(stage, first))["messages"]) == 6


async def test_the_same_request_three_times_is_one_call_of_the_model(stage: Stage) -> None:
    gate = Gate()
    stage.simulator.program(Answer(Text(["Once ", gate, "upon."])))
    name = chat()
    pages = [await stage.browser.open(name) for _ in range(3)]
    sending = [asyncio.create_task(page.send("A story.", message="m1")) for page in pages]
    for page in pages:
        await page.until("last.parts.some(part => part.text === 'Once ')")
    gate.open()
    views = await asyncio.gather(*sending)
    assert {texts(view["messages"][-1])[0] for view in views} == {"Once upon."}
    assert len({view["messages"][-1]["id"] for view in views}) == 1
    assert len(stage.simulator.requests) == 1


@every_version
async def test_an_answer_that_was_stopped_while_it_waited_is_not_asked_for_for_ever(
    stage: Stage, version: str
) -> None:
    stage.simulator.program(calling("page_title"))
    page = await stage.browser.open(chat(), version, body=OFFER, tools={"page_title": None})
    view = await page.send("Which page?")
    await stage.post(f"{page.url}/stop")
    await page.do("output", tool="page_title", toolCallId=view["ran"][0], output="late")
    view = await page.until("status === 'error'")
    assert (view["requests"], call(view)["state"]) == (2, "output-error")
    stage.simulator.program(OK)
    assert texts((await page.send("Then?"))["messages"][-1]) == ["Ok."]


@every_version
async def test_an_answer_stopped_at_its_tools_is_not_sent_again_by_the_page(
    stage: Stage, version: str
) -> None:
    gate = Gate()
    stage.simulator.program(
        Answer(ToolUse("look", {"path": "a"}), Text([gate, "x"]), stop_reason="tool_use")
    )
    page = await stage.browser.open(chat(), version)
    sending = asyncio.create_task(page.send("Look."))
    await page.until("last.parts.some(part => part.state === 'input-available')")
    await stage.post(f"{page.url}/stop")
    view = await sending
    assert (view["status"], view["requests"]) == ("ready", 1)


@with_approvals
async def test_what_nobody_decided_is_not_asked_for_ever(stage: Stage, version: str) -> None:
    stage.simulator.program(calling("erase", path="a"))
    page = await stage.browser.open(chat(), version)
    tool_id = call(await page.send("Erase a."))["toolCallId"]
    await stage.post(f"{page.url}/stop")
    kept = call(await loaded(stage, page))
    if version == "v6":
        assert (kept["state"], "approval" in kept) == ("output-error", False)
    else:
        no = {"id": tool_id, "approved": False, "reason": "Cancelled by the user."}
        assert (kept["state"], kept["approval"]) == ("output-denied", no)
    # A page that does not know it yet hears the same.
    await page.do("approve", tool_id=tool_id, approved=True)
    part = call(await page.until("status === 'error'"))
    assert part["state"] == kept["state"]
    if version == "v7":
        assert part["approval"] == kept["approval"]


async def test_a_message_while_the_answer_waits_for_somebody_is_the_move(stage: Stage) -> None:
    stage.simulator.program(calling("erase", path="a"), OK)
    page = await stage.browser.open(chat())
    await page.send("Erase a.")
    view = await page.send("Never mind.")
    assert (view["status"], texts(view["messages"][-1])) == ("ready", ["Ok."])
    before = (await loaded(stage, page))["messages"][1]
    assert before["metadata"]["turnwire"]["stopReason"] == "cancelled"


async def test_a_file_is_kept_once_and_shown_again(stage: Stage) -> None:
    stage.simulator.program(OK)
    page = await stage.browser.open(chat())
    file = {
        "type": "file",
        "mediaType": "image/gif",
        "filename": "a.gif",
        "url": f"data:image/gif;base64,{GIF}",
    }
    await page.send("What is it?", files=[file])
    image, text = stage.simulator.requests[-1]["messages"][-1]["content"]
    assert (image["source"]["data"], text["text"]) == (GIF, "What is it?")
    kept = (await loaded(stage, page))["messages"][0]["parts"][0]
    assert {**kept, "url": ""} == {**file, "url": ""}
    assert (await stage.http.get(kept["url"])).headers["content-type"] == "image/gif"
    stage.simulator.program(OK)
    again = await stage.browser.open(chat())
    await again.send("And now?", files=[kept])
    assert stage.simulator.requests[-1]["messages"][-1]["content"][0] == image


async def test_a_refusal_is_shown_in_words(stage: Stage) -> None:
    page = await stage.browser.open(chat())
    file = {"type": "file", "mediaType": "image/gif", "url": "https://example.com/a.gif"}
    view = await page.send("What is it?", files=[file])
    assert view["status"] == "error"
    assert view["error"].startswith("file: ")
    assert (await loaded(stage, page))["messages"] == []


async def test_a_page_that_comes_with_its_past_goes_on_from_there(stage: Stage) -> None:
    stage.simulator.program(OK)
    past = [
        {"id": "u1", "role": "user", "parts": [{"type": "text", "text": "My name is Ada."}]},
        {"id": "a1", "role": "assistant", "parts": [{"type": "text", "text": "Hello, Ada."}]},
    ]
    page = await stage.browser.open(chat(), messages=past)
    await page.send("Who am I?")
    (asked,) = stage.simulator.requests
    assert [one["role"] for one in asked["messages"]] == ["user", "assistant", "user"]
    kept = (await loaded(stage, page))["messages"]
    assert [texts(one)[0] for one in kept] == ["My name is Ada.", "Hello, Ada.", "Who am I?", "Ok."]
    assert kept[0]["id"] == "u1"


async def test_a_conversation_of_another_wire_opens_by_its_id(stage: Stage) -> None:
    stage.simulator.program(Answer(Text("One.")), Answer(Text("Two.")), OK)
    answered = await stage.http.post(
        "/v1/chat", json={"content": "First."}, headers={"accept": "application/json"}
    )
    page = await stage.browser.open(answered.json()["conversation"])
    begins = await loaded(stage, page)
    page = await stage.browser.open(page.chat, messages=begins["messages"])
    await page.do("regenerate")
    view = await page.view()
    assert [texts(one) for one in view["messages"]] == [["First."], ["Two."]]
    assert [texts(one) for one in (await loaded(stage, page))["messages"]] == [["First."], ["Two."]]


async def test_the_transport_of_assistant_ui_is_understood(stage: Stage) -> None:
    stage.simulator.program(calling("page_title"), OK)
    context = {
        "system": "Be brief.",
        "tools": {
            "page_title": {"description": "Its title.", "parameters": {"type": "object"}},
            "look": {
                "description": "How it looks is the page's.",
                "parameters": {"type": "object"},
            },
        },
        "callSettings": {"temperature": 0.5},
        "config": {"modelName": "other"},
    }
    page = await stage.browser.open(
        chat(), transport="assistant", context=context, tools={"page_title": "T"}
    )
    await page.send("Which page?")
    view = await page.until("finishes.length === 2 && status === 'ready'")
    assert texts(view["messages"][-1]) == ["Wait.", "Ok."]
    asked = stage.simulator.requests[0]
    assert "system" not in asked
    offered = {tool["name"]: tool["description"] for tool in asked["tools"]}
    assert offered["page_title"] == "Its title."
    assert offered["look"] == "Look at a file."
