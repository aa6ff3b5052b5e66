"""The server is killed with -9 while pages read: after the restart they show what they showed."""

from pathlib import Path

import pytest

from tests.faults.server import killable
from tests.wires.ag_ui.pages import Pages
from turnwire_simulator import Answer, Gate, Simulator, Text, Thinking

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_after_a_kill_in_mid_stream_pages_show_what_they_showed_and_its_end(
    simulator: Simulator, pages: Pages, tmp_path: Path
) -> None:
    async with killable(simulator.url, tmp_path / "t.db") as server:
        await server.start()
        address = server.url.removeprefix("http://")
        clients = ("1.0", "0.x", "copilotkit")
        opened = [await pages.open(client, address, f"kill {client}") for client in clients]
        for page in opened:
            simulator.program(Answer(Thinking("Hm."), Text(["Once upon", Gate(), " a time."])))
            await page.say("Hi", id="m1")
            await page.begin()
            await page.shows("Once upon")
        server.kill()
        # Their streams are cut. Where the client takes that for an end, the restart tells.
        broken = [await page.ends() for page in opened]
        await server.start()
        asked = len(simulator.requests)
        for page, client in zip(opened, clients, strict=True):
            await page.do("connect") if client == "copilotkit" else await page.begin()
        after = [await page.ends() for page in opened]
        assert len(simulator.requests) == asked
        simulator.program(*[Answer(Text(" Again.")) for _ in opened])
        for page in opened:
            await page.say("Go on", id="m2")
        gone_on = [await page.run() for page in opened]
        # They have reported it twice: to whoever runs them, and, sooner or later, where nobody can
        # catch it.
        assert all("terminated" in thrown for thrown in pages.fatal)
        pages.fatal.clear()
    for page_was, page_is, page_then in zip(broken, after, gone_on, strict=True):
        assert page_is.messages == page_was.messages
        assert (page_is.text, page_is.thinking) == ("Once upon", "Hm.")
        assert page_then.text == "Once upon Again."
    ends = [(state.end["type"], state.end.get("code")) for state in after]
    assert ends[:2] == [("RUN_ERROR", "interrupted")] * 2
    # By whether the end that the restart wrote was stored before it was asked for.
    assert ends[2] in [("RUN_FINISHED", None), ("RUN_ERROR", "interrupted")]
