"""OpenAI's own Python client, unchanged, against a real service over the simulator."""

import asyncio
import base64
import json
from typing import Any

import httpx2
import openai
import pytest

from tests.kit.patience import PATIENCE_SECONDS, patience
from tests.kit.service import upstream_left
from tests.wires.openai.conftest import Service, served
from turnwire_server import tool
from turnwire_server.core.turn.options import DEFAULT_MODEL as MODEL
from turnwire_simulator import Answer, Cut, Fault, Gate, Simulator, Text, Thinking, ToolUse

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(40)).decode()
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
CALL = Answer(Text("Let me look."), ToolUse("weather", {"city": "Rome"}), stop_reason="tool_use")


def said(*texts: str) -> Any:
    """A list of messages: the user's, the assistant's, the user's …"""
    roles = ["user", "assistant"] * len(texts)
    return [
        {"role": role, "content": text} for role, text in zip(roles, texts, strict=False) if text
    ]


async def asked(
    service: Service, *texts: str, chat: str | None = "chat", name: str = "anna", **options: Any
) -> Any:
    """A whole completion."""
    headers = {"X-Conversation-Id": chat} if chat else {}
    headers |= options.pop("headers", {})
    client = service.client(name)
    messages = options.pop("messages", None) or said(*texts)
    return await client.chat.completions.create(
        model=MODEL, messages=messages, extra_headers=headers, **options
    )


async def text_of(service: Service, *texts: str, **options: Any) -> str:
    """The text of one."""
    completion = await asked(service, *texts, **options)
    return completion.choices[0].message.content or ""


async def streamed(stream: Any) -> tuple[str, str, list[Any]]:
    """Text, reasoning and finish reasons of a stream."""
    text = reasoning = ""
    finishes = []
    async for chunk in stream:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reasoning += getattr(choice.delta, "reasoning_content", None) or ""
            finishes += [choice.finish_reason] if choice.finish_reason else []
    return text, reasoning, finishes


async def test_an_answer_streams_and_comes_whole(service: Service, simulator: Simulator) -> None:
    answer = Answer(Thinking("hm, well"), Text("Hello, Anna"), stop_reason="max_tokens")
    simulator.program(answer, answer)
    client = service.client()
    stream = await client.chat.completions.create(
        model=MODEL,
        messages=said("hi"),
        stream=True,
        stream_options={"include_usage": True},
        max_tokens=50,
    )
    chunks = [chunk async for chunk in stream]
    assert [chunk.choices[0].delta.role for chunk in chunks[:2]] == ["assistant", None]
    assert {(chunk.id, chunk.model) for chunk in chunks} == {(chunks[0].id, MODEL)}
    assert chunks[0].created > 1_700_000_000
    assert (chunks[-1].choices, chunks[-2].choices[0].finish_reason) == ([], "length")
    completion = await client.chat.completions.create(
        model=MODEL, messages=said("hi"), max_completion_tokens=50
    )
    message = completion.choices[0].message
    assert (message.content, message.model_extra) == (
        "Hello, Anna",
        {"reasoning_content": "hm, well"},
    )
    assert completion.choices[0].finish_reason == "length"
    for usage in (chunks[-1].usage, completion.usage):
        assert usage is not None
        assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens > 3
    assert [request["max_tokens"] for request in simulator.requests] == [50, 50]


async def test_what_the_answer_cites_is_annotated(service: Service, simulator: Simulator) -> None:
    page = {
        "type": "web_search_result_location",
        "cited_text": "x",
        "encrypted_index": "e",
        "title": "A",
        "url": "https://a.example/",
    }
    other = {"type": "char_location", "cited_text": "x", "document_index": 0}
    place = {"document_title": "r", "start_char_index": 0, "end_char_index": 1, "file_id": None}
    cited = Text("born in 1916", citations=[page, page, {**other, **place}])
    answer = Answer(Text("He was "), cited, Text("."))
    simulator.program(answer, answer)
    completion = await asked(service, "who?")
    message = completion.choices[0].message
    assert message.content == "He was born in 1916."
    (annotation,) = message.annotations or []
    assert annotation.url_citation.model_dump() == {
        "url": "https://a.example/",
        "title": "A",
        "start_index": 7,
        "end_index": 19,
    }
    client = service.client()
    stream = await client.chat.completions.create(model=MODEL, messages=said("who?"), stream=True)
    deltas = [chunk.choices[0].delta async for chunk in stream if chunk.choices]
    told = [delta.model_extra for delta in deltas if delta.model_extra]
    assert told == [{"annotations": [annotation.model_dump()]}]


async def test_without_a_name_the_list_is_the_past_and_nothing_is_listed(
    service: Service, simulator: Simulator
) -> None:
    simulator.program(Answer(Text("three")), Answer(Text("other")))
    system = [{"role": "system", "content": "Be brief."}]
    greeting = [{"role": "assistant", "content": "How can I help?"}]
    messages = system + greeting + said("one?", "one", "two?", "", "three?")
    assert await text_of(service, chat=None, messages=messages) == "three"
    request = simulator.requests[0]
    assert [message["role"] for message in request["messages"]] == [
        "user",
        "assistant",
        "user",
        "user",
    ]
    assert "system" not in request, "clients may not choose it here"
    # The same once more is another request: who wants two answers gets two.
    assert await text_of(service, chat=None, messages=messages) == "other"
    assert (await service.get("/conversations"))["conversations"] == []


async def test_a_system_prompt_counts_where_clients_may_choose_it(simulator: Simulator) -> None:
    simulator.program(Answer(Text("ok")))
    async with served(simulator, client_options=["system"]) as service:
        messages = [{"role": "developer", "content": "Be brief."}, *said("hi")]
        await asked(service, messages=messages, max_tokens=7)
    assert "Be brief." in str(simulator.requests[0]["system"])
    assert simulator.requests[0]["max_tokens"] != 7


async def test_effort_stops_and_a_format_reach_the_model(
    service: Service, simulator: Simulator
) -> None:
    simulator.program(
        Answer(Text('{"city": "Oslo"}')),
        Answer(Text("One "), stop_reason="stop_sequence", stop_sequence="two"),
    )
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    wanted = {"name": "place", "schema": schema, "strict": True}
    completion = await asked(
        service,
        "where?",
        response_format={"type": "json_schema", "json_schema": wanted},
        reasoning_effort="minimal",
    )
    assert json.loads(completion.choices[0].message.content) == {"city": "Oslo"}
    config = simulator.requests[0]["output_config"]
    assert config["effort"] == "low"
    assert config["format"]["schema"] == {**schema, "additionalProperties": False}
    completion = await asked(service, "count!", chat="other", stop=["\n", "two"])
    assert completion.choices[0].finish_reason == "stop"
    assert simulator.requests[1]["stop_sequences"] == ["two"]


async def test_a_format_whose_schema_is_none_is_refused(
    service: Service, simulator: Simulator
) -> None:
    with pytest.raises(openai.BadRequestError, match="response_format"):
        await asked(service, "?", response_format={"type": "json_schema"})
    assert simulator.requests == []


@pytest.mark.parametrize("header", ["X-Conversation-Id", "X-OpenWebUI-Chat-Id", None])
async def test_a_named_conversation_grows_and_another_front_end_sees_it(
    service: Service, simulator: Simulator, header: str | None
) -> None:
    simulator.program(Answer(Text("two")), Answer(Text("three")))
    named: Any = {"chat": None, "metadata": {"conversation": "mine"}}
    if header is not None:
        named = {"chat": None, "headers": {header: "mine"}}
    assert await text_of(service, "one?", "one", "two?", **named) == "two"
    await asked(service, "one?", "one", "two?", "two", "three?", **named)
    assert await service.log("mine") == [
        ("one?", "one", "end_turn"),
        ("two?", "two", "end_turn"),
        ("three?", "three", "end_turn"),
    ]
    (listed,) = (await service.get("/conversations"))["conversations"]
    assert listed["title"] == "one?"
    assert (await service.get("/conversations", "bert"))["conversations"] == []


async def test_another_answer_and_an_edit_take_the_old_turn_back(
    service: Service, simulator: Simulator
) -> None:
    simulator.program(*(Answer(Text(text)) for text in "ABCDE"))
    await asked(service, "a?")
    await asked(service, "a?", "A", "b?")
    assert await text_of(service, "a?", "A", "b?") == "C"
    assert await text_of(service, "a?", "A", "x?") == "D"
    assert await text_of(service, "a?") == "E"
    assert await service.log("chat") == [("a?", "E", "end_turn")]


async def test_a_question_beside_the_conversation_leaves_it_alone(
    service: Service, simulator: Simulator
) -> None:
    simulator.program(Answer(Text("A")), Answer(Text("A title")), Answer(Text("B")))
    await asked(service, "a?")
    # As Open WebUI asks for titles, tags and what could be asked next: with the chat's id.
    assert await text_of(service, "### Task: a title for <chat>a? A</chat>") == "A title"
    await asked(service, "a?", "A", "b?")
    assert await service.log("chat") == [("a?", "A", "end_turn"), ("b?", "B", "end_turn")]
    assert len((await service.get("/conversations"))["conversations"]) == 1


async def test_the_same_request_three_times_is_one_model_call(
    service: Service, simulator: Simulator
) -> None:
    gate = Gate()
    simulator.program(Answer(Text(["one ", gate, "answer"])))
    clients = [service.client() for _ in range(3)]
    async with patience():
        streams = [
            await client.chat.completions.create(
                model=MODEL,
                messages=said("hi"),
                stream=True,
                extra_headers={"X-Conversation-Id": "chat"},
            )
            for client in clients
        ]
        gate.open()
        told = await asyncio.gather(*map(streamed, streams))
    assert told == [("one answer", "", ["stop"])] * 3
    assert len(simulator.requests) == 1


@pytest.mark.parametrize("chat", ["chat", None])
async def test_a_retry_of_the_client_reads_the_answer_that_was_lost(
    service: Service, simulator: Simulator, chat: str | None
) -> None:
    simulator.program(*(Answer(Text(text)) for text in ("first", "second", "Bert's", "third")))
    retry = {"x-stainless-retry-count": "1"}
    assert await text_of(service, "hi", chat=chat) == "first"
    assert await text_of(service, "hi", chat=chat, headers=retry) == "first"
    again = await text_of(service, "hi", chat=chat)
    assert again == "second", "not said to be a retry, it is a wish for another answer"
    assert await text_of(service, "hi", chat=chat, headers=retry, name="bert") == "Bert's"
    assert await text_of(service, "ho", chat="other", headers=retry) == "third"
    assert await text_of(service, "hi", chat=chat, headers=retry) == "second"


@pytest.mark.parametrize("chat", ["chat", None])
async def test_an_idempotency_key_is_answered_once(
    service: Service, simulator: Simulator, chat: str | None
) -> None:
    simulator.program(Answer(Text("first")))
    headers = {"Idempotency-Key": "k" * 200}
    for _ in range(3):
        assert await text_of(service, "hi", chat=chat, headers=headers) == "first"
    with pytest.raises(openai.ConflictError) as refused:
        await asked(service, "ho", chat=chat, headers=headers)
    assert refused.value.code == "key_reused"
    assert len(simulator.requests) == 1
    simulator.program(Answer(Text("Bert's")))
    assert await text_of(service, "hi", chat=chat, headers=headers, name="bert") == "Bert's"


@pytest.mark.parametrize("chat", ["chat", None])
async def test_a_tool_of_the_client_is_called_and_its_result_goes_on_with_the_turn(
    service: Service, simulator: Simulator, chat: str | None
) -> None:
    simulator.program(CALL, Answer(Text("Sunny.")))
    client = service.client(default_headers={"X-Conversation-Id": chat} if chat else {})
    ask: Any = {"model": MODEL, "tools": [WEATHER]}
    first = await client.chat.completions.create(messages=said("Rome?"), **ask)
    (choice,) = first.choices
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", "Let me look.")
    assert choice.message.tool_calls is not None
    (call,) = choice.message.tool_calls
    assert call.type == "function"
    assert (call.function.name, call.function.arguments) == ("weather", '{"city":"Rome"}')
    result = {"role": "tool", "tool_call_id": call.id, "content": "25 degrees"}
    messages = [*said("Rome?"), choice.message.model_dump(exclude_none=True), result]
    stream = await client.chat.completions.create(messages=messages, stream=True, **ask)
    assert await streamed(stream) == ("Sunny.", "", ["stop"])
    # Once more, as after a lost reply: what came of the first.
    again = await client.chat.completions.create(messages=messages, **ask)
    assert again.choices[0].message.content == "Sunny."
    assert len(simulator.requests) == 2
    assert "25 degrees" in str(simulator.requests[1]["messages"][-1])
    for who, id in (("anna", "toolu_unknown"), ("bert", call.id)):
        other = service.client(who, default_headers=client._custom_headers)
        unknown = [*messages[:-1], {**result, "tool_call_id": id}]
        with pytest.raises(openai.NotFoundError):
            await other.chat.completions.create(messages=unknown, **ask)


async def test_results_of_two_calls_that_come_one_by_one(
    service: Service, simulator: Simulator
) -> None:
    calls = [ToolUse("weather", {"city": city}, id=f"toolu_{city}") for city in ("Rome", "Bonn")]
    simulator.program(Answer(*calls, stop_reason="tool_use"), Answer(Text("Sunny.")))
    await asked(service, "weather?", tools=[WEATHER])
    rome = {"role": "tool", "tool_call_id": "toolu_Rome", "content": "25"}
    bonn = {"role": "tool", "tool_call_id": "toolu_Bonn", "content": "15"}
    half = await asked(service, messages=[*said("weather?"), rome], tools=[WEATHER])
    assert half.choices[0].finish_reason == "tool_calls"
    assert [call.id for call in half.choices[0].message.tool_calls] == ["toolu_Bonn"]
    assert await text_of(service, messages=[*said("weather?"), rome, bonn]) == "Sunny."


async def test_a_tool_that_wants_approval_is_denied_and_others_run_silently(
    simulator: Simulator,
) -> None:
    ran: list[str] = []

    @tool
    def look(path: str) -> str:
        """Look at a file."""
        ran.append(path)
        return "a picture"

    @tool(approval=True)
    def erase(path: str) -> str:
        """Erase a file."""
        ran.append(f"erase {path}")
        return "gone"

    calls = [ToolUse("look", {"path": "a"}), ToolUse("erase", {"path": "a"})]
    simulator.program(Answer(Text("First."), *calls, stop_reason="tool_use"), Answer(Text("Then.")))
    async with served(simulator, tools=[look, erase]) as service:
        completion = await asked(service, "do it")
    assert completion.choices[0].message.content == "First.\n\nThen."
    assert completion.choices[0].message.tool_calls is None
    assert ran == ["a"]
    assert "Nobody can be asked" in str(simulator.requests[1]["messages"][-1])


@pytest.mark.parametrize(
    ("options", "error", "code"),
    [
        ({"model": "gpt-9"}, openai.NotFoundError, "model_not_found"),
        ({"n": 2}, openai.BadRequestError, "bad_command"),
        ({"messages": [{"role": "system", "content": "x"}]}, openai.BadRequestError, "bad_command"),
        ({"messages": said("hi", "ho")}, openai.BadRequestError, "bad_command"),
        ({"messages": said("hi", "ho", " ")}, openai.BadRequestError, "bad_command"),
        ({"messages": []}, openai.BadRequestError, "bad_command"),
        ({"tools": [{"type": "custom"}]}, openai.BadRequestError, "bad_command"),
        (
            {"tools": [{"type": "function", "function": {"name": "a b"}}]},
            openai.BadRequestError,
            "bad_command",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
            openai.BadRequestError,
            "bad_command",
        ),
        ({"metadata": {"conversation": 7}}, openai.BadRequestError, "bad_command"),
    ],
)
async def test_what_cannot_be_is_refused_before_anything_is_begun(
    service: Service, simulator: Simulator, options: dict[str, Any], error: Any, code: str
) -> None:
    given: Any = {"model": MODEL, "messages": said("hi"), **options}
    with pytest.raises(error) as refused:
        await service.client().chat.completions.create(stream=True, **given)
    assert (refused.value.code, refused.value.type) == (code, "invalid_request_error")
    assert simulator.requests == []
    assert await service.turnwire.hub.list_heads("anna", limit=9, before=None) == []


async def test_an_unknown_key_is_refused(service: Service) -> None:
    with pytest.raises(openai.AuthenticationError) as refused:
        await service.client("nobody").models.list()
    assert refused.value.code == "unauthorized"


async def test_models_are_those_that_may_be_chosen(simulator: Simulator) -> None:
    async with served(simulator, models=["claude-haiku-4-5"]) as service:
        client = service.client()
        ids = [model.id async for model in client.models.list()]
        assert ids == [MODEL, "claude-haiku-4-5"]
        assert (await client.models.retrieve(MODEL)).owned_by == "anthropic"
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("gpt-9")
    async with served(simulator, models=["claude-haiku-4-5"], client_options=[]) as service:
        assert [model.id async for model in service.client().models.list()] == [MODEL]


async def test_a_failure_is_an_error_in_the_stream_and_a_status_without_one(
    simulator: Simulator,
) -> None:
    simulator.program(Fault(529), Answer(Text(["half an ", Cut()])), Answer(Text(["x", Cut()])))
    async with served(simulator, retries=0) as service:
        client = service.client(max_retries=2)
        with pytest.raises(openai.InternalServerError) as refused:
            await client.chat.completions.create(model=MODEL, messages=said("hi"))
        assert (refused.value.status_code, refused.value.code) == (503, "overloaded")
        assert len(simulator.requests) == 1, "what has been tried again is not tried again"
        stream = await client.chat.completions.create(model=MODEL, messages=said("hi"), stream=True)
        assert (await anext(aiter(stream))).choices[0].delta.content == "half an "
        with pytest.raises(openai.APIError) as failed:
            await streamed(stream)
        assert failed.value.code == "network_error"


async def test_what_is_voided_by_another_attempt_stays_and_a_paragraph_begins(
    service: Service, simulator: Simulator
) -> None:
    simulator.program(Answer(Text(["half an ", Cut()])), Answer(Text("The whole.")))
    stream = await service.client().chat.completions.create(
        model=MODEL, messages=said("hi"), stream=True
    )
    assert await streamed(stream) == ("half an \n\nThe whole.", "", ["stop"])


async def test_hanging_up_closes_the_upstream_and_keeps_the_text(
    service: Service, simulator: Simulator
) -> None:
    simulator.program(Answer(Text(["Half of ", Gate(), "it"])))
    stream = await service.client().chat.completions.create(
        model=MODEL,
        messages=said("hi"),
        stream=True,
        extra_headers={"X-Conversation-Id": "chat"},
    )
    async with patience():
        async for chunk in stream:
            if chunk.choices[0].delta.content:
                break
        await stream.close()
        await upstream_left(simulator)
    assert await service.log("chat") == [("hi", "Half of ", "cancelled")]


async def test_hanging_up_on_a_whole_answer_ends_it_too(
    service: Service, simulator: Simulator
) -> None:
    gate = Gate()
    simulator.program(Answer(Text(["Half of ", gate, "it"])))
    asking = asyncio.create_task(asked(service, "hi"))
    async with patience():
        await gate.reached()
        asking.cancel()
        await upstream_left(simulator)


async def test_who_speaks_on_right_after_a_stop_is_not_told_to_wait(simulator: Simulator) -> None:
    simulator.program(Answer(Text(["Half of ", Gate()])), Answer(Text("Yes.")))
    async with served(simulator, detach_grace=3600) as service:
        stream = await service.client().chat.completions.create(
            model=MODEL,
            messages=said("hi"),
            stream=True,
            extra_headers={"X-Conversation-Id": "chat"},
        )
        async with patience():
            await anext(aiter(stream))
            await stream.close()
            assert await text_of(service, "hi", "Half of ", "go on?") == "Yes."
        assert await service.log("chat") == [
            ("hi", "Half of ", "cancelled"),
            ("go on?", "Yes.", "end_turn"),
        ]


async def test_images_come_as_data_and_nothing_is_fetched(
    service: Service, simulator: Simulator
) -> None:
    simulator.program(Answer(Text("A picture.")), Answer(Text("Another.")))
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    shown: Any = [{"role": "user", "content": [{"type": "text", "text": "What?"}, image]}]
    assert await text_of(service, messages=shown) == "A picture."
    assert await text_of(service, messages=[*shown, *said("", "A picture.", "Sure?")]) == "Another."
    (first, *_) = simulator.requests[1]["messages"]
    assert [block["type"] for block in first["content"]] == ["text", "image"]
    assert (
        len(
            await service.turnwire.hub.turns(
                "anna", await service.turnwire.hub.named("anna", "chat")
            )
        )
        == 2
    )
    for url in ("https://example.com/a.png", "data:image/png;base64,?", "data:text/html;base64,AA"):
        bad: Any = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]
        with pytest.raises(openai.BadRequestError):
            await asked(service, messages=bad, chat=None)


async def test_at_a_drain_the_stream_ends_in_an_error(
    service: Service, simulator: Simulator
) -> None:
    simulator.program(Answer(Text(["Half of ", Gate()])))
    stream = await service.client().chat.completions.create(
        model=MODEL, messages=said("hi"), stream=True
    )
    async with patience():
        await anext(aiter(stream))
        await service.turnwire.drain(0)
        with pytest.raises(openai.APIError) as failed:
            async for _ in stream:
                pass
    assert failed.value.code == "interrupted"


async def test_a_page_may_ask_for_all_headers_of_the_sdk_if_it_may_ask_at_all(
    simulator: Simulator,
) -> None:
    async with served(simulator, allow_origins=["https://a.example"]) as service:
        wanted = {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "x-stainless-os,x-conversation-id",
        }
        async with httpx2.AsyncClient(timeout=PATIENCE_SECONDS) as http:
            answers = [
                await http.options(
                    f"{service.url}/chat/completions", headers={**wanted, "Origin": origin}
                )
                for origin in ("https://a.example", "https://b.example")
            ]
    assert [answer.status_code for answer in answers] == [204, 403]
    allowed = answers[0].headers["access-control-allow-headers"]
    assert allowed == wanted["Access-Control-Request-Headers"]
