"""Tools that the provider runs: offered, chosen, shown, sent back; their errors and container."""

from typing import Any

import httpx2
import pytest

from tests.kit.chat import MODEL, ended, of_type, talking
from tests.kit.oracle import check_log
from turnwire import Sources, noted
from turnwire import connect as connected
from turnwire_protocol import BlockStop, Citation, ToolResult, ToolStart
from turnwire_server import Turnwire
from turnwire_server.errors import SettingsError
from turnwire_server.model.clients import connect
from turnwire_simulator import Answer, ProviderTool, Simulator, Text, ToolUse

FOUND = {
    "type": "web_search_result",
    "title": "Shannon",
    "url": "https://a.example/shannon",
    "encrypted_content": "sealed",
    "page_age": None,
}
CITED = {
    "type": "web_search_result_location",
    "cited_text": "born in 1916",
    "encrypted_index": "sealed",
    "title": "Shannon",
    "url": "https://a.example/shannon",
}


def plain(city: str) -> str:
    """The weather."""
    return f"sunny in {city}"


def offered(simulator: Simulator) -> list[list[dict[str, Any]]]:
    """The tools of each request, without their breakpoints."""
    return [
        [
            {name: value for name, value in tool.items() if name != "cache_control"}
            for tool in body.get("tools", ())
        ]
        for body in simulator.requests
    ]


async def test_they_are_offered_beside_others_and_chosen_by_name(simulator: Simulator) -> None:
    own = {"type": "web_fetch_20260318", "name": "web_fetch", "max_uses": 3}
    async with talking(
        simulator,
        *[Answer(Text("Ok.")) for _ in range(3)],
        tools=[plain, own],
        server_tools=["web_search,code_execution", "web_search"],
    ) as wire:
        await ended(wire)
        await ended(wire, tools=["web_search"])
        reject = await wire.ask("send", content="Hello", tools=["web_crawl"])
        await ended(wire, tools=["plain", "web_fetch"])
    search = {"type": "web_search_20260318", "name": "web_search"}
    code = {"type": "code_execution_20260521", "name": "code_execution"}
    everything, one, two = offered(simulator)
    assert everything[1:] == [own, search, code]
    assert one == [search]
    assert (two[0]["name"], two[1:]) == ("plain", [own])
    assert (reject["type"], reject["code"]) == ("reject", "bad_command")
    marked = [[tool.get("cache_control") for tool in body["tools"]] for body in simulator.requests]
    assert [marks[-1] for marks in marked] == [{"type": "ephemeral"}] * 3
    assert [mark for marks in marked for mark in marks[:-1]] == [None] * 4


@pytest.mark.parametrize(
    ("model", "search"),
    {
        "claude-sonnet-5-5": "web_search_20260318",
        "claude-opus-4-6": "web_search_20260318",
        "claude-opus-4-5-20251101": "web_search_20250305",
        "claude-haiku-4-5": "web_search_20250305",
    }.items(),
)
async def test_each_model_gets_the_version_that_it_knows(
    simulator: Simulator, model: str, search: str
) -> None:
    async with talking(
        simulator, Answer(Text("Ok.")), model=model, server_tools=["web_search", "web_fetch"]
    ) as wire:
        assert (await ended(wire))["stop_reason"] == "end_turn"
    assert offered(simulator)[0][0]["type"] == search


async def test_what_was_found_and_cited_is_shown_and_goes_back_as_it_came(
    simulator: Simulator,
) -> None:
    answer = Answer(
        Text("Let me see."),
        ProviderTool("web_search", {"query": "Shannon"}, [FOUND]),
        Text("He was "),
        Text("born in 1916", citations=[CITED]),
        Text("."),
    )
    async with talking(
        simulator, answer, Answer(Text("Bye.")), server_tools=["web_search"]
    ) as wire:
        done = await ended(wire)
        await ended(wire, conversation=done["conversation"])
    check_log(wire.events)
    (start,) = of_type(wire, ToolStart)
    (result,) = of_type(wire, ToolResult)
    assert (start.tool_name, start.runs_on) == ("web_search", "provider")
    assert (result.content, result.is_error) == ("Shannon https://a.example/shannon", False)
    cited = [stop.citations for stop in of_type(wire, BlockStop) if stop.citations]
    assert cited == [
        [Citation(cited_text="born in 1916", title="Shannon", url="https://a.example/shannon")]
    ]
    said = simulator.requests[1]["messages"][1]["content"]
    call = {
        "type": "server_tool_use",
        "id": start.tool_id,
        "name": "web_search",
        "input": {"query": "Shannon"},
    }
    assert said == [
        {"type": "text", "text": "Let me see."},
        call,
        {"type": "web_search_tool_result", "tool_use_id": start.tool_id, "content": [FOUND]},
        {"type": "text", "text": "He was "},
        {"type": "text", "text": "born in 1916", "citations": [CITED]},
        {"type": "text", "text": "."},
    ]
    assert simulator.rejections == []


async def test_rest_and_the_export_tell_the_sources(
    simulator: Simulator, http: httpx2.AsyncClient
) -> None:
    page = {**CITED, "title": "Shannon *[1]*", "cited_text": "1916"}
    simulator.program(
        Answer(Text("He was "), Text("born in 1916", citations=[page]), Text(" in Petoskey.\n"))
    )
    headers = {"Accept": "application/json"}
    response = await http.post("/v1/chat", json={"content": "Who?"}, headers=headers)
    answer = response.json()
    cited = {"cited_text": "1916", "title": "Shannon *[1]*", "url": CITED["url"]}
    assert [block.get("citations") for block in answer["blocks"]] == [None, [cited], None]
    export = await http.get(f"/v1/conversations/{answer['conversation']}/export")
    note = f"[^{answer['turn'].replace('_', '-')}-1]"
    assert f"\n\nHe was born in 1916{note} in Petoskey.\n\n" in export.text
    assert f"\n\n{note}: [Shannon \\*\\[1\\]\\*](<{CITED['url']}>)\n" in export.text


async def test_the_python_client_has_the_sources(simulator: Simulator, address: str) -> None:
    simulator.program(Answer(Text("He was "), Text("born in 1916", citations=[CITED])))
    async with connected(f"ws://{address}") as wire:
        reply = await (await wire.conversation().send("Who?"))
    sources = Sources()
    texts = [noted(block.text, sources.numbers(block.citations)) for block in reply.blocks]
    assert (reply.text, "".join(texts)) == (
        "He was born in 1916",
        "He was born in 1916[^source-1]",
    )
    assert [(each.number, each.title, each.url) for each in sources] == [
        (1, "Shannon", "https://a.example/shannon")
    ]


ERRORS = {
    "web_search": ("web_search_tool_result_error", "max_uses_exceeded"),
    "web_fetch": ("web_fetch_tool_result_error", "url_not_accessible"),
    "code_execution": ("code_execution_tool_result_error", "execution_time_exceeded"),
    "bash_code_execution": ("bash_code_execution_tool_result_error", "too_many_requests"),
    "tool_search_tool_bm25": ("tool_search_tool_result_error", "unavailable"),
}


@pytest.mark.parametrize(("name", "error"), ERRORS.items(), ids=ERRORS)
async def test_what_went_wrong_is_shown_as_an_error(
    simulator: Simulator, name: str, error: tuple[str, str]
) -> None:
    kind, code = error
    failed = ProviderTool(name, {}, {"type": kind, "error_code": code})
    async with talking(simulator, Answer(failed, Text("Sorry.")), Answer(Text("Ok."))) as wire:
        done = await ended(wire)
        following = await ended(wire, conversation=done["conversation"])
    (result,) = of_type(wire, ToolResult)
    assert (result.content, result.is_error) == (code, True)
    assert (done["stop_reason"], following["stop_reason"]) == ("end_turn", "end_turn")


async def test_a_search_that_takes_long_goes_on_over_pauses(simulator: Simulator) -> None:
    first = ProviderTool("web_search", {"query": "a"}, [FOUND])
    call, result = ProviderTool("web_search", {"query": "b"}, [FOUND]).blocks()

    class Block:
        def __init__(self, block: Any) -> None:
            self.block = block

        def blocks(self) -> list[Any]:
            return [self.block]

    answers = [
        Answer(first, stop_reason="pause_turn"),
        Answer(Block(call), stop_reason="pause_turn"),
        Answer(Block(result), Text("Found."), stop_reason="end_turn"),
        Answer(Text("Bye.")),
    ]
    async with talking(simulator, *answers, server_tools=["web_search"]) as wire:
        done = await ended(wire)
        await ended(wire, conversation=done["conversation"])
    assert (done["stop_reason"], done["steps"]) == ("end_turn", 3)
    assert [result.is_error for result in of_type(wire, ToolResult)] == [False, False]
    kinds = [block["type"] for block in simulator.requests[3]["messages"][1]["content"]]
    assert kinds == [*2 * ["server_tool_use", "web_search_tool_result"], "text"]
    assert simulator.rejections == []


async def test_a_model_that_calls_one_as_if_it_ran_here_is_told_that_there_is_none(
    simulator: Simulator,
) -> None:
    call = Answer(ToolUse("web_search", {"query": "x"}), stop_reason="tool_use")
    async with talking(simulator, call, Answer(Text("Ok.")), server_tools=["web_search"]) as wire:
        done = await ended(wire)
    (result,) = of_type(wire, ToolResult)
    assert (result.content, result.is_error) == ("There is no tool 'web_search'.", True)
    assert done["stop_reason"] == "end_turn"


async def test_a_tool_that_is_loaded_later_has_no_breakpoint(simulator: Simulator) -> None:
    later = {"type": "web_fetch_20260318", "name": "web_fetch", "defer_loading": True}
    async with talking(
        simulator,
        Answer(Text("Ok.")),
        tools=[plain, later],
        server_tools=["tool_search_tool_bm25"],
    ) as wire:
        await ended(wire)
        await ended(wire, tools=["plain", "web_fetch"])
    first, second = ([tool.keys() for tool in body["tools"]] for body in simulator.requests)
    assert ["cache_control" in keys for keys in first] == [False, False, True]
    assert ["cache_control" in keys for keys in second] == [True, False]


async def test_a_beta_is_asked_for_where_a_tool_needs_it(simulator: Simulator) -> None:
    adviser = {"type": "advisor_20260301", "name": "advisor", "model": "claude-opus-5-5"}
    async with talking(
        simulator, Answer(Text("Ok.")), Answer(Text("Ok.")), tools=[plain, adviser]
    ) as wire:
        await ended(wire)
        await ended(wire, tools=["plain"])
    assert simulator.betas == [{"advisor-tool-2026-03-01"}, set()]


async def test_skills_are_in_the_container_where_code_is_executed(simulator: Simulator) -> None:
    answers = [Answer(Text("Ok.")) for _ in range(2)]
    async with talking(
        simulator,
        *answers,
        tools=[plain],
        server_tools=["code_execution"],
        skills=["pptx, xlsx@20251013", "skill_01x"],
    ) as wire:
        await ended(wire)
        await ended(wire, tools=["plain"])
    first, second = simulator.requests
    assert first["container"] == {
        "skills": [
            {"type": "anthropic", "skill_id": "pptx", "version": "latest"},
            {"type": "anthropic", "skill_id": "xlsx", "version": "20251013"},
            {"type": "custom", "skill_id": "skill_01x", "version": "latest"},
        ]
    }
    assert "container" not in second


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown name": ({"server_tools": ["web_serach"]}, "server_tools"),
    "skills without code": ({"skills": ["pptx"]}, "skills"),
    "a dict without a type": ({"tools": [{"name": "x"}]}, "tools"),
    "a dict of one's own": ({"tools": [{"type": "custom", "name": "x"}]}, "tools"),
    "a dict that nobody runs": ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools"),
    "a dict without a name": ({"tools": [{"type": "novel_20270101"}]}, "tools"),
    "one twice": (
        {
            "tools": [{"type": "web_search_20250305", "name": "web_search"}],
            "server_tools": ["web_search"],
        },
        "tools",
    ),
}


@pytest.mark.parametrize(("settings", "named"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_refused_when_the_service_is_made(
    settings: dict[str, Any], named: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        Turnwire(client=connect("http://127.0.0.1:9", "key"), model=MODEL, **settings)
    assert str(caught.value).startswith(named)
