"""What the API says of its own tools' definitions, containers, results and files."""

from typing import Any

import anthropic
import pytest
from anthropic import AsyncAnthropic

from tests.simulator.api_client import Json, request
from turnwire_simulator import Rejected, Simulator
from turnwire_simulator.strict import judge

SEARCH: Json = {"type": "web_search_20260318", "name": "web_search"}
CODE: Json = {"type": "code_execution_20250825", "name": "code_execution"}
ADVISOR: Json = {"type": "advisor_20260301", "name": "advisor", "model": "claude-opus-5-5"}
SKILL: Json = {"type": "anthropic", "skill_id": "pptx", "version": "latest"}
CALL: Json = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
FOUND: Json = {
    "type": "web_search_result",
    "title": "A",
    "url": "https://a.example",
    "encrypted_content": "e",
}
CITED: Json = {
    "type": "web_search_result_location",
    "cited_text": "x",
    "url": "https://a.example",
    "encrypted_index": "e",
}


def offering(*tools: Json, **fields: Any) -> Json:
    return request(tools=list(tools), **fields)


def said(*blocks: Json) -> Json:
    """A request in which the assistant has said this."""
    hi = {"role": "user", "content": "Hi"}
    return request(hi, {"role": "assistant", "content": list(blocks)}, hi)


def found(*results: Json) -> Json:
    return {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": list(results)}


TAKEN: dict[str, Json] = {
    "a search": offering({**SEARCH, "max_uses": 3, "allowed_domains": ["a.example"]}),
    "an older one for an older model": offering(
        {**SEARCH, "type": "web_search_20250305"}, model="claude-haiku-4-5"
    ),
    "skills": offering(CODE, container={"id": "c", "skills": [SKILL]}),
    "one that is loaded later": offering(
        {"type": "tool_search_tool_bm25", "name": "tool_search_tool_bm25"},
        {**SEARCH, "defer_loading": True},
    ),
    "a result": said(CALL, found(FOUND), {"type": "text", "text": "x", "citations": [CITED]}),
}


@pytest.mark.parametrize("body", TAKEN.values(), ids=TAKEN)
def test_taken(body: Json) -> None:
    judge(body)


REFUSED: dict[str, tuple[Json, str]] = {
    "an unknown type": (offering({**SEARCH, "type": "web_search_20990101"}), "tools.0"),
    "another name": (offering({**SEARCH, "name": "search"}), "tools.0.web_search_20260318.name"),
    "an unknown field": (
        offering({**SEARCH, "query": "x"}),
        "tools.0.web_search_20260318.query",
    ),
    "a field of a later version": (
        offering({**SEARCH, "type": "web_search_20250305", "response_inclusion": "full"}),
        "tools.0.web_search_20250305.response_inclusion",
    ),
    "no use": (offering({**SEARCH, "max_uses": 0}), "tools.0.web_search_20260318.max_uses"),
    "domains allowed and blocked": (
        offering({**SEARCH, "allowed_domains": ["a"], "blocked_domains": ["b"]}),
        "tools.0.web_search_20260318",
    ),
    "a version that the model lacks": (offering(SEARCH, model="claude-haiku-4-5"), "tools.0"),
    "no beta": (offering(ADVISOR), "tools.0.advisor_20260301"),
    "all loaded later": (offering({**SEARCH, "defer_loading": True}), "tools"),
    "a breakpoint at what is loaded later": (
        offering(CODE, {**SEARCH, "defer_loading": True, "cache_control": {"type": "ephemeral"}}),
        "tools",
    ),
    "skills without code": (offering(SEARCH, container={"skills": [SKILL]}), "container.skills"),
    "a skill without an id": (
        offering(CODE, container={"skills": [{"type": "custom"}]}),
        "container.skills.0.skill_id",
    ),
}


@pytest.mark.parametrize(("body", "path"), REFUSED.values(), ids=REFUSED)
def test_refused(body: Json, path: str) -> None:
    with pytest.raises(Rejected) as caught:
        judge(body)
    assert caught.value.message.startswith(f"{path}:")


@pytest.mark.parametrize("name", ["encrypted_content", "url"])
def test_results_go_back_with_all_they_had(name: str) -> None:
    less = {field: value for field, value in FOUND.items() if field != name}
    with pytest.raises(Rejected, match=f"web_search_result.{name}: Field required"):
        judge(said(CALL, found(less)))


def test_citations_go_back_with_all_they_had() -> None:
    less = {field: value for field, value in CITED.items() if field != "encrypted_index"}
    cites = {"type": "text", "text": "x", "citations": [less]}
    with pytest.raises(Rejected, match="encrypted_index: Field required"):
        judge(said(CALL, found(FOUND), cites))


def test_a_beta_is_named_in_the_header() -> None:
    judge(offering(ADVISOR), {"advisor-tool-2026-03-01"})


async def test_the_header_is_read(simulator: Simulator, claude: AsyncAnthropic) -> None:
    body = offering(ADVISOR)
    with pytest.raises(anthropic.BadRequestError, match="advisor-tool-2026-03-01"):
        await claude.messages.create(**body)
    header = {"anthropic-beta": "a-2026-01-01, advisor-tool-2026-03-01"}
    await claude.messages.create(**body, extra_headers=header)
    assert simulator.betas == [set(), {"a-2026-01-01", "advisor-tool-2026-03-01"}]


async def test_files_are_given_out_with_what_they_are(
    simulator: Simulator, claude: AsyncAnthropic
) -> None:
    id = simulator.files.keep(b"a,b\n", name="t.csv", media_type="text/csv")
    sealed = simulator.files.keep(b"x", is_downloadable=False)
    metadata = await claude.files.retrieve_metadata(id)
    content = await claude.files.download(id)
    assert (metadata.filename, metadata.mime_type, metadata.size_bytes) == ("t.csv", "text/csv", 4)
    assert await content.read() == b"a,b\n"
    with pytest.raises(anthropic.NotFoundError):
        await claude.files.download("file_nothing")
    with pytest.raises(anthropic.BadRequestError):
        await claude.files.download(sealed)
