"""`turnwire chat` with what was said before: a real service, several conversations."""

import json
import shlex
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.client.program import Screen, ended, start
from tests.kit.service import by_name, serving, turnwire_over
from turnwire import connect
from turnwire_simulator import Answer, ProviderTool, Simulator, Text

pytestmark = pytest.mark.slow


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture
async def url(simulator: Simulator) -> AsyncIterator[str]:
    async with serving(turnwire_over(simulator, authenticate=by_name)) as address:
        yield f"http://{address}"


async def said(url: str, simulator: Simulator, *messages: str) -> list[str]:
    """The ids of a conversation for each message, whose answer says it again in bold."""
    ids: list[str] = []
    async with connect(url, "anna") as wire:
        for message in messages:
            simulator.program(Answer(Text(f"**{message}**")))
            turn = await wire.conversation().send(message)
            await turn
            ids.append(turn.conversation)
    return ids


async def opened(url: str, *options: str) -> Screen:
    screen = await Screen.open(url, "--token", "anna", *options)
    await screen.prompts()
    return screen


async def quits(screen: Screen) -> None:
    await screen.prompts()
    screen.type("/quit\r")
    assert await screen.ended() == 0


async def test_a_conversation_of_the_list_is_opened_shown_and_gone_on_with(
    url: str, simulator: Simulator
) -> None:
    await said(url, simulator, "apples", "pears")
    screen = await opened(url)
    screen.type("/list\r")
    await screen.sees("2 ")
    await screen.prompts()
    assert [line.split()[:2] for line in screen.lines if "20" in line and "ap" in line] == [
        ["2", "apples"]
    ]
    screen.type("/open 2\r")
    await screen.looks(lambda lines: "> apples" in lines and "apples" in lines)
    await screen.prompts()
    simulator.program(Answer(Text("Sour.")))
    screen.type("more\r")
    await screen.sees("Sour.")
    await quits(screen)
    texts = [str(message["content"]) for message in simulator.requests[-1]["messages"]]
    assert ["apples" in text for text in texts] == [True, True, False]


async def test_the_last_conversation_is_gone_on_with(url: str, simulator: Simulator) -> None:
    _, last = await said(url, simulator, "apples", "pears")
    screen = await opened(url, "--continue")
    assert "> pears" in screen.lines
    assert "> apples" not in screen.lines
    screen.type("/new\r")
    await screen.sees("A new conversation.")
    await quits(screen)
    simulator.program(Answer(Text("Once.")))
    process = await start("chat", "--url", url, "--token", "anna", "-c", "--json", "more")
    code, output, _ = await ended(process)
    assert (code, json.loads(output)["conversation"]) == (0, last)


async def test_a_conversation_that_is_not_there_is_told(url: str) -> None:
    screen = await opened(url, "--conversation", "c_none")
    assert any("unknown_conversation" in line for line in screen.lines)
    await quits(screen)


async def test_a_conversation_is_exported_once_to_a_file(
    url: str, simulator: Simulator, tmp_path: Path
) -> None:
    (id,) = await said(url, simulator, "apples")
    # Wider than the screen: it is written as it is, for who copies it.
    folder = tmp_path / "-".join(["far"] * 25)
    folder.mkdir()
    file = folder / "a.md"
    screen = await opened(url, "--conversation", id)
    screen.type(f"/export {shlex.quote(str(file))}\r")
    await screen.sees(f"{folder.name}/{file.name}:")
    await screen.sees("bytes")
    await screen.prompts()
    screen.type(f"/export {shlex.quote(str(file))}\r")
    await screen.sees("Error:")
    await quits(screen)
    assert "**apples**" in file.read_text("utf-8")


async def test_an_answer_that_cites_is_shown_again_as_one_paragraph(
    url: str, simulator: Simulator
) -> None:
    page = {"type": "web_search_result_location", "encrypted_index": "e", "cited_text": "1916"}
    shannon = {**page, "title": "Claude Shannon", "url": "https://a.example/"}
    found = [{"type": "web_search_result", "title": "Claude Shannon", "url": shannon["url"]}]
    simulator.program(
        Answer(
            Text("I look."),
            ProviderTool("web_search", {"query": "Shannon"}, found),
            Text("He was "),
            Text("born in 1916", citations=[shannon]),
            Text(" in "),
            Text("**Petoskey**", citations=[{**shannon, "url": "https://b.example/"}, shannon]),
            Text(".\n\nSo."),
        )
    )
    async with connect(url, "anna") as wire:
        turn = await wire.conversation().send("Who?")
        await turn
    screen = await opened(url, "--conversation", turn.conversation)
    lines = screen.lines
    assert [line for line in lines[lines.index("> Who?") + 1 :] if line] == [
        "I look.",
        "web_search",
        "He was born in 1916[1] in Petoskey[2][1].",
        "So.",
        "[1] Claude Shannon  https://a.example/",
        "[2] Claude Shannon  https://b.example/",
        ">",
    ]
    await quits(screen)
