"""kill -9 in mid-stream: after the restart a page shows what was shown, and its end."""

import asyncio
from pathlib import Path

import pytest

from tests.faults.server import killable
from tests.kit.sse import asking
from tests.wires.ai_sdk.page import browsing
from tests.wires.ai_sdk.test_pages import OK, chat, texts
from turnwire_simulator import Answer, Gate, Simulator, Text

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_after_a_kill_what_was_shown_is_there_and_the_chat_goes_on(tmp_path: Path) -> None:
    async with Simulator() as simulator, killable(simulator.url, tmp_path / "db") as server:
        await server.start()
        address = server.url.removeprefix("http://")
        async with (
            browsing(address) as browser,
            asking(address) as http,
        ):
            pages = [await browser.open(chat(), transport=over) for over in ("sse", "ws")]
            simulator.answer_with(lambda _: Answer(Text(["Once ", Gate(), "upon."])))
            sending = [asyncio.create_task(page.send("A story.")) for page in pages]
            for page in pages:
                await page.until("last.parts.some(part => part.text === 'Once ')")
            server.kill()
            assert [view["status"] for view in await asyncio.gather(*sending)] == ["error"] * 2
            await server.start()
            simulator.answer_with(lambda _: OK)
            for page in pages:
                await page.do("resume")  # Nothing runs any more.
                view = await page.view()
                assert (view["status"], texts(view["messages"][-1])) == ("ready", ["Once "])
                found = (await http.get(f"{page.url}/messages")).json()
                again = found["messages"][-1]
                assert (found["activeStreamId"], texts(again)) == (None, ["Once "])
                assert again["metadata"]["turnwire"]["stopReason"] == "interrupted"
                assert texts((await page.send("Go on."))["messages"][-1]) == ["Ok."]
