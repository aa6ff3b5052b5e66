"""Keys, faults, the program, counts and usage, over real HTTP."""

import aiohttp
import anthropic
import pytest
from anthropic import AsyncAnthropic

from tests.simulator.api_client import Json, ask, request, text_of
from turnwire_simulator import Answer, Fault, ScriptError, Simulator, Stall, Text

STATUSES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}


@pytest.mark.parametrize(("status", "kind"), STATUSES.items())
async def test_a_fault_is_the_apis_own_error(
    simulator: Simulator, claude: AsyncAnthropic, status: int, kind: str
) -> None:
    simulator.program(Fault(status, message="as told", retry_after=2.5))

    with pytest.raises(anthropic.APIStatusError) as caught:
        await ask(claude)

    error = caught.value
    assert (error.status_code, error.type) == (status, kind)
    assert error.body == {
        "type": "error",
        "error": {"type": kind, "message": "as told"},
        "request_id": error.request_id,
    }
    assert error.response.headers["retry-after"] == "2.5"


async def test_without_a_key_everything_is_unauthorized(simulator: Simulator) -> None:
    async with aiohttp.ClientSession() as session:
        asked = await session.post(f"{simulator.url}/v1/messages", json=request())
        listed = await session.get(f"{simulator.url}/v1/models")

    assert (asked.status, listed.status) == (401, 401)


async def test_only_the_expected_key_is_let_in() -> None:
    async with Simulator(api_key="right") as simulator:
        for key, status in (("wrong", 401), ("right", 200)):
            async with aiohttp.ClientSession() as session:
                answer = await session.post(
                    f"{simulator.url}/v1/messages", json=request(), headers={"x-api-key": key}
                )
                assert answer.status == status


async def test_the_program_is_taken_in_order_and_may_look_at_the_request(
    simulator: Simulator, claude: AsyncAnthropic
) -> None:
    def echo(body: Json) -> Answer:
        return Answer(Text(f"You said {body['messages'][0]['content']}"))

    simulator.program(Answer(Text("first")), echo)

    texts = [text_of(await ask(claude)) for _ in range(2)]

    assert texts == ["first", "You said Hello there"]


async def test_other_processes_read_the_counts(
    simulator: Simulator, claude: AsyncAnthropic
) -> None:
    simulator.program(Answer(Text("a")), Fault(500), Answer(Stall()))
    await ask(claude)
    with pytest.raises(anthropic.InternalServerError):
        await ask(claude)
    stream = await claude.messages.create(**request(), stream=True)

    async with aiohttp.ClientSession() as session:
        response = await session.get(f"{simulator.url}/_simulator")
        report = await response.json()
    await stream.close()

    assert report == {"requests": 3, "open": 1, "finished": 1, "aborted": 0, "broken": 0}


@pytest.mark.parametrize("data", [b"{", b"[1]", b'{"model": "\\ud800"}', b"[" * 100_000, b"\xff"])
async def test_a_body_that_is_no_json_object_is_a_bad_request(
    simulator: Simulator, data: bytes
) -> None:
    async with aiohttp.ClientSession() as session:
        response = await session.post(
            f"{simulator.url}/v1/messages", data=data, headers={"x-api-key": "x"}
        )
        body = await response.json()

    assert (response.status, body["error"]["type"]) == (400, "invalid_request_error")


async def test_a_marked_prefix_is_written_once_and_then_read(claude: AsyncAnthropic) -> None:
    system = [{"type": "text", "text": "x " * 500, "cache_control": {"type": "ephemeral"}}]

    first = (await ask(claude, system=system)).usage
    second = (await ask(claude, system=system)).usage
    other = (await ask(claude, system=[{**system[0], "text": "y " * 500}])).usage

    assert first.cache_creation_input_tokens
    assert first.cache_read_input_tokens == 0
    assert second.cache_creation_input_tokens == 0
    assert second.cache_read_input_tokens == first.cache_creation_input_tokens
    assert second.input_tokens == first.input_tokens
    assert other.cache_read_input_tokens == 0


async def test_a_growing_conversation_reads_what_the_last_request_wrote(
    claude: AsyncAnthropic,
) -> None:
    def marked(words: str) -> Json:
        mark = {"type": "ephemeral"}
        return {
            "role": "user",
            "content": [{"type": "text", "text": words, "cache_control": mark}],
        }

    hello: Json = {"role": "user", "content": "Hello " * 100}
    reply: Json = {"role": "assistant", "content": "Hi"}
    first = await claude.messages.create(**request(marked("Hello " * 100)))
    second = await claude.messages.create(**request(hello, reply, marked("More " * 100)))

    assert second.usage.cache_read_input_tokens == first.usage.cache_creation_input_tokens
    assert second.usage.cache_creation_input_tokens


@pytest.mark.parametrize(("blocks", "is_read"), [(19, True), (20, False)])
async def test_the_cache_looks_back_twenty_blocks_from_a_breakpoint(
    claude: AsyncAnthropic, blocks: int, is_read: bool
) -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    hello: Json = {"type": "text", "text": "Hello " * 100}
    more: list[Json] = [{"type": "text", "text": f"{n}"} for n in range(blocks)]

    def user(*content: Json) -> Json:
        return request({"role": "user", "content": list(content)})

    first = await claude.messages.create(**user({**hello, **mark}))
    beyond = await claude.messages.create(**user(hello, *more[:-1], {**more[-1], **mark}))
    reached = await claude.messages.create(**user({**hello, **mark}, *more))

    written = first.usage.cache_creation_input_tokens
    assert beyond.usage.cache_read_input_tokens == (written if is_read else 0)
    assert reached.usage.cache_read_input_tokens == written


async def test_what_is_written_is_counted_by_its_lifetime(claude: AsyncAnthropic) -> None:
    mark = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}

    usage = (await ask(claude, system=[{"type": "text", "text": "x " * 500, **mark}])).usage

    assert usage.cache_creation is not None
    assert usage.cache_creation.ephemeral_1h_input_tokens == usage.cache_creation_input_tokens
    assert usage.cache_creation.ephemeral_5m_input_tokens == 0


async def test_models_are_listed(claude: AsyncAnthropic) -> None:
    names = [model.id async for model in claude.models.list()]

    assert len(names) == 3
    assert all(name.startswith("claude-") for name in names)


def test_a_control_outside_the_answer_is_a_script_error() -> None:
    answer = Answer(Text("a"))

    with pytest.raises(ScriptError) as caught:
        answer.at(len(answer.events()) + 1, Stall())

    assert (caught.value.index, caught.value.events) == (8, 7)
