"""The chat page in Chromium, over the real service, with the simulator in place of Claude."""

import asyncio
import json
import re

import pytest
from playwright.async_api import WebSocketRoute, expect

from tests.e2e.conftest import OpenTab, Tab
from tests.e2e.line import Line
from tests.e2e.recorder import Recorder
from tests.kit.patience import patience
from tests.kit.service import serving, turnwire_over
from turnwire_simulator import Answer, Cut, Fault, Gate, Simulator, Text, Thinking, ToolUse

pytestmark = pytest.mark.asyncio(loop_scope="session")

INERT = """\
<img src=x onerror="document.title='owned'"> <script>document.title='owned'</script>

[a](javascript:document.title='owned') ![i](https://example.com/leak.png)

```html
<script>document.title = 'owned'</script>
```
"""

HOLD_FRAMES = """() => {
  const held = [];
  const request = window.requestAnimationFrame;
  window.requestAnimationFrame = (draw) => held.push(draw);
  window.drawFrames = () => {
    window.requestAnimationFrame = request;
    for (const draw of held) request(draw);
  };
}"""


async def test_text_grows_while_it_streams_and_ends_with_its_usage(
    tab: Tab, simulator: Simulator
) -> None:
    gate = Gate()
    simulator.program(Answer(Text(["Logs only ", "grow. ", gate, "**Always.**"])))
    await tab.ask("What is a log?")
    await expect(tab.answers).to_have_text("Logs only grow.")
    await expect(tab.stop_button).to_be_visible()
    gate.open()
    await expect(tab.answers.locator("strong")).to_have_text("Always.")
    await expect(tab.page.locator(".usage")).to_contain_text("out")
    await expect(tab.send_button).to_be_visible()
    await expect(tab.announced).to_have_text("Answer complete")
    await expect(tab.page).to_have_title("What is a log? – Turnwire")
    await expect(tab.page).to_have_url(re.compile(r"#c_"))


async def test_stop_keeps_what_was_shown_closes_the_stream_and_the_next_message_is_answered(
    tab: Tab, simulator: Simulator
) -> None:
    aborted = simulator.aborted_streams
    simulator.program(Answer(Text(["Once upon ", Gate(), "never shown"])), Answer(Text("Second.")))
    await tab.ask("Tell me a story")
    await expect(tab.answers).to_have_text("Once upon")
    await tab.stop_button.click()
    await expect(tab.page.locator(".mark")).to_have_text("Stopped")
    await expect(tab.answers).to_have_text("Once upon")
    async with patience():
        await simulator.wait(lambda: simulator.aborted_streams > aborted)
    await tab.ask("And now?")
    await expect(tab.answers.nth(1)).to_have_text("Second.")


async def test_a_refusal_is_shown_with_its_area_and_in_the_providers_words(
    tab: Tab, simulator: Simulator
) -> None:
    why = {"type": "refusal", "category": "cyber", "explanation": "It could do <b>harm</b>."}
    simulator.program(Answer(stop_reason="refusal", stop_details=why))
    await tab.ask("Break in")
    await expect(tab.page.locator(".mark")).to_have_text("Claude declined to answer this")
    await expect(tab.page.locator(".refusal")).to_have_text(
        "Reason: cyber security. It could do <b>harm</b>."
    )


async def test_escape_stops_the_answer_and_it_is_announced(tab: Tab, simulator: Simulator) -> None:
    simulator.program(Answer(Text(["Begun ", Gate()])))
    await tab.ask("Go on")
    await expect(tab.announced).to_have_text("Claude is answering")
    await expect(tab.answers).to_have_text("Begun")
    await tab.page.keyboard.press("Escape")
    await expect(tab.announced).to_have_text("Stopped")


async def test_a_reload_in_mid_stream_continues_the_answer(tab: Tab, simulator: Simulator) -> None:
    asked = len(simulator.requests)
    gate = Gate()
    simulator.program(Answer(Text(["before ", gate, "after"])))
    await tab.ask("Go on")
    await expect(tab.answers).to_have_text("before")
    await tab.message.fill("a draft")
    await tab.page.reload()
    await expect(tab.answers).to_have_text("before")
    await expect(tab.message).to_have_value("a draft")
    gate.open()
    await expect(tab.answers).to_have_text("before after")
    await expect(tab.bubbles).to_have_text(["Go on"])
    assert len(simulator.requests) == asked + 1


async def test_two_tabs_show_the_same(tab: Tab, open_tab: OpenTab, simulator: Simulator) -> None:
    gate = Gate()
    simulator.program(Answer(Text(["shared ", gate, "words"])))
    await tab.ask("Hello from the first tab")
    await expect(tab.answers).to_have_text("shared")
    other = await open_tab(tab.page.url)
    await expect(other.bubbles).to_have_text(["Hello from the first tab"])
    await expect(other.answers).to_have_text("shared")
    gate.open()
    await expect(other.answers).to_have_text("shared words")
    simulator.program(Answer(Text("Both.")))
    await other.ask("And back")
    await expect(tab.bubbles).to_have_text(["Hello from the first tab", "And back"])
    await expect(tab.answers).to_have_text(["shared words", "Both."])


async def test_html_in_questions_and_answers_stays_text(tab: Tab, simulator: Simulator) -> None:
    simulator.program(Answer(Text(INERT)))
    await tab.ask(INERT)
    await expect(tab.page.locator(".usage")).to_be_visible()
    main = tab.page.locator("#transcript")
    await expect(main.locator("img, script, [onerror], a[href^='javascript']")).to_have_count(0)
    await expect(tab.answers).to_contain_text("<script>document.title='owned'</script>")
    await expect(tab.page).not_to_have_title("owned")


async def test_a_failed_answer_keeps_its_text_and_says_what_to_do(
    tab: Tab, simulator: Simulator
) -> None:
    simulator.program(Fault(401), Answer(Text("Better.")))
    await tab.ask("Hello")
    await expect(tab.page.locator(".callout strong")).to_have_text(
        "Claude refused this server’s API key."
    )
    await expect(tab.page.locator(".callout")).to_contain_text("ANTHROPIC_API_KEY")
    await tab.ask("Again")
    await expect(tab.answers).to_have_text("Better.")


async def test_a_retry_keeps_the_text_until_the_next_attempt_replaces_it(
    address: str, open_tab: OpenTab, simulator: Simulator
) -> None:
    tab = await open_tab("about:blank")
    line = await Line.of(tab.page)
    await tab.page.goto(address)
    gate = Gate()
    simulator.program(Answer(Text(["first try ", gate, Cut()])), Fault(529))
    simulator.program(Answer(Text("second try")))
    await tab.ask("Hello")
    await expect(tab.answers).to_have_text("first try")
    line.hold(lambda message: message["type"] == "step" and message["attempt"] == 3)
    gate.open()
    await expect(tab.page.locator(".retry")).to_be_visible()
    await expect(tab.page.locator(".retry")).to_contain_text("Claude is busy, trying again")
    await expect(tab.answers).to_have_text("first try")
    line.let_go()
    await expect(tab.answers).to_have_text("second try")
    await expect(tab.page.locator(".retry")).to_be_hidden()


async def test_an_attempt_that_is_drawn_in_one_frame_with_its_rewind_replaces_the_text(
    address: str, open_tab: OpenTab, simulator: Simulator
) -> None:
    has_ended = asyncio.Event()

    def hear(frame: str | bytes) -> None:
        if '"type":"done"' in str(frame):
            has_ended.set()

    tab = await open_tab("about:blank")
    tab.page.on("websocket", lambda socket: socket.on("framereceived", hear))
    await tab.page.goto(address)
    gate = Gate()
    simulator.program(Answer(Text(["first try ", gate, Cut()])), Answer(Text("second, and better")))
    await tab.ask("Hello")
    await expect(tab.answers).to_have_text("first try")
    await tab.page.evaluate(HOLD_FRAMES)
    gate.open()
    async with patience():
        await has_ended.wait()
    await tab.page.evaluate("drawFrames()")
    await expect(tab.answers).to_have_text("second, and better")


async def test_thinking_stays_open_while_it_streams_and_then_tells_its_time(
    tab: Tab, simulator: Simulator
) -> None:
    gate = Gate()
    simulator.program(Answer(Thinking(["Let me ", gate, "see."]), Text("Seen.")))
    await tab.ask("Think")
    summary = tab.page.locator(".thinking summary")
    await expect(summary).to_have_text("Thinking…")
    await summary.click()
    await expect(tab.page.locator(".thinking-text")).to_have_text("Let me")
    gate.open()
    await expect(tab.page.locator(".thinking-text")).to_have_text("Let me see.")
    await expect(summary).to_have_text(re.compile(r"Thought for \d+ s"))
    await expect(tab.answers).to_have_text("Seen.")


async def test_tool_calls_show_their_name_input_and_outcome(tab: Tab, simulator: Simulator) -> None:
    simulator.program(
        Answer(Text("Looking."), ToolUse("no_such_tool", {"city": "Oslo"}), stop_reason="tool_use"),
        Answer(Text("It is not known.")),
    )
    await tab.ask("Weather?")
    tool = tab.page.locator(".tool")
    await expect(tool.locator(".tool-name")).to_have_text("no_such_tool")
    await expect(tool.locator(".tool-state")).to_contain_text("Failed")
    await tab.over()
    await tool.locator("summary").first.click()
    await expect(tool.locator("details .tool-text").first).to_have_text('{\n  "city": "Oslo"\n}')
    await expect(tab.answers.last).to_have_text("It is not known.")


async def test_a_message_sent_without_a_connection_waits_and_is_answered_when_it_is_back(
    address: str, open_tab: OpenTab, simulator: Simulator
) -> None:
    sockets: list[WebSocketRoute] = []
    is_up = True

    async def connect(socket: WebSocketRoute) -> None:
        sockets.append(socket)
        if is_up:
            socket.connect_to_server()
        else:
            await socket.close(code=1012)

    tab = await open_tab("about:blank")
    await tab.page.route_web_socket("**/v1/ws", connect)
    await tab.page.goto(address)
    asked = len(simulator.requests)
    gate = Gate()
    simulator.program(Answer(Text(["one ", gate, "two"])), Answer(Text("There you are.")))
    await tab.ask("Count")
    await expect(tab.answers).to_have_text("one")
    # As a server that restarts does it, and with so long a wait that only the press ends it: the
    # page's own first wait is at most half a second, and takes the button away with it.
    sockets[0].send(json.dumps({"type": "going_away", "reconnect_after_seconds": 86_400}))
    await sockets[0].close(code=1012)
    await expect(tab.banner).to_contain_text("Reconnecting…")
    gate.open()
    await tab.page.get_by_role("button", name="Retry now").click()
    await expect(tab.answers).to_have_text("one two")
    await expect(tab.banner).to_be_hidden()

    is_up = False
    await sockets[-1].close(code=1012)
    await expect(tab.banner).to_contain_text("Reconnecting…")
    await tab.ask("Anybody there?")
    await expect(tab.bubbles).to_have_text(["Count", "Anybody there?"])
    is_up = True
    await expect(tab.answers.nth(1)).to_have_text("There you are.")
    await expect(tab.bubbles).to_have_text(["Count", "Anybody there?"])
    assert len(simulator.requests) == asked + 2


async def test_a_message_that_is_refused_is_marked_and_can_be_edited_or_sent_again(
    address: str, open_tab: OpenTab, simulator: Simulator
) -> None:
    refuses = True

    async def connect(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def send(frame: str | bytes) -> None:
            command = json.loads(frame)
            if command["type"] == "send" and refuses:
                refusal = {"code": "too_many", "message": "slow down", "retryable": True}
                socket.send(json.dumps({"type": "reject", "id": command["id"], **refusal}))
            else:
                server.send(frame)

        socket.on_message(send)

    tab = await open_tab("about:blank")
    await tab.page.route_web_socket("**/v1/ws", connect)
    await tab.page.goto(address)
    await tab.ask("Helo?")
    await expect(tab.page.locator(".delivery")).to_contain_text("limit of this server. Slow down.")
    await tab.page.get_by_role("button", name="Edit").click()
    await expect(tab.bubbles).to_have_count(0)
    await expect(tab.message).to_have_value("Helo?")
    await tab.ask("Hello?")
    await expect(tab.page.locator(".delivery")).to_contain_text("Not sent")
    await tab.page.reload()
    await expect(tab.bubbles).to_have_text(["Hello?"])
    refuses = False
    simulator.program(Answer(Text("Yes?")))
    await tab.page.get_by_role("button", name="Try again").click()
    await expect(tab.answers).to_have_text("Yes?")
    await expect(tab.page.locator(".delivery")).to_have_count(0)
    await expect(tab.bubbles).to_have_text(["Hello?"])


async def test_a_conversation_that_does_not_exist_says_so(address: str, open_tab: OpenTab) -> None:
    tab = await open_tab(f"{address}/#c_nobody")
    await expect(tab.page.locator(".notice")).to_contain_text("cannot be opened")


async def test_enter_of_an_input_method_and_shift_enter_do_not_send(tab: Tab) -> None:
    await tab.message.fill("にほん")
    await tab.message.dispatch_event("keydown", {"key": "Enter", "isComposing": True})
    await tab.message.dispatch_event("keydown", {"key": "Enter", "keyCode": 229})
    await tab.message.press("Shift+Enter")
    await expect(tab.message).to_have_value("にほん\n")
    await expect(tab.bubbles).to_have_count(0)


async def test_back_and_forward_move_between_conversations(tab: Tab, simulator: Simulator) -> None:
    simulator.program(Answer(Text("one")), Answer(Text("two")))
    await tab.ask("First chat")
    await expect(tab.answers).to_have_text("one")
    await expect(tab.page.locator("#demo")).to_be_hidden()
    await tab.page.get_by_role("link", name="New chat").click()
    await expect(tab.bubbles).to_have_count(0)
    await tab.ask("Second chat")
    await expect(tab.answers).to_have_text("two")
    await tab.page.go_back()
    await expect(tab.bubbles).to_have_text(["First chat"])
    await tab.page.go_forward()
    await expect(tab.bubbles).to_have_text(["Second chat"])
    await expect(tab.answers).to_have_text("two")


async def test_the_reader_who_scrolls_up_is_left_there_and_can_jump_back(
    tab: Tab, simulator: Simulator
) -> None:
    gate = Gate()
    lines = [f"Line {number}\n\n" for number in range(80)]
    simulator.program(Answer(Text([*lines[:40], gate, *lines[40:]])))
    await tab.ask("Count")
    await expect(tab.page.get_by_text("Line 39")).to_be_in_viewport()
    await tab.page.locator("#scroller").hover()
    await tab.page.mouse.wheel(0, -600)
    await expect(tab.page.get_by_text("Line 39")).not_to_be_in_viewport()
    gate.open()
    await expect(tab.page.locator(".usage")).to_have_count(1)
    await expect(tab.page.get_by_text("Line 79")).not_to_be_in_viewport()
    await tab.page.get_by_role("button", name="Jump to latest").click()
    await expect(tab.page.get_by_text("Line 79")).to_be_in_viewport()


async def test_copy_gives_the_markdown_source(tab: Tab, simulator: Simulator) -> None:
    simulator.program(Answer(Text("Some **bold**\n\n```py\nx = 1\n```\n")))
    await tab.ask("Code?")
    said = await Recorder.of(tab.page, ".meta .copy")
    await tab.page.get_by_role("button", name="Copy answer").click()
    await said.until("Copied")
    read = "navigator.clipboard.readText()"
    assert await tab.page.evaluate(read) == "Some **bold**\n\n```py\nx = 1\n```\n"
    said = await Recorder.of(tab.page, ".code-bar .copy:last-child")
    await tab.page.get_by_role("button", name="Copy code").click()
    await said.until("Copied")
    assert await tab.page.evaluate(read) == "x = 1\n"


async def test_nothing_is_wider_than_a_phone(tab: Tab, simulator: Simulator) -> None:
    await tab.page.set_viewport_size({"width": 360, "height": 740})
    row = "| wide | " * 12
    simulator.program(
        Answer(Text(f"{'x' * 400}\n\n```\n{'y' * 400}\n```\n\n{row}\n{'|--' * 24}|\n"))
    )
    await tab.ask("z" * 400)
    await expect(tab.page.locator(".usage")).to_be_visible()
    assert await tab.page.evaluate("document.documentElement.scrollWidth") == 360
    assert await tab.page.evaluate("document.getElementById('scroller').scrollWidth") == 360


async def test_a_token_comes_from_the_form_or_the_address_and_leaves_the_address(
    simulator: Simulator, open_tab: OpenTab
) -> None:
    async with serving(turnwire_over(simulator, token="open-sesame")) as netloc:
        address = f"http://{netloc}"
        stranger = await open_tab(address)
        await expect(stranger.banner).to_contain_text("Not authorised")
        await stranger.page.get_by_label("Access token").fill("open-sesame")
        await stranger.page.get_by_role("button", name="Connect").click()
        await expect(stranger.banner).to_be_hidden()

        guest = await open_tab(f"{address}/#/token=open-sesame")
        await expect(guest.banner).to_be_hidden()
        await expect(guest.page).to_have_url(f"{address}/")
        simulator.program(Answer(Text("Welcome.")))
        await guest.ask("May I?")
        await expect(guest.answers).to_have_text("Welcome.")
        await guest.page.reload()
        await expect(guest.answers).to_have_text("Welcome.")
        await stranger.page.close()
        await guest.page.close()
