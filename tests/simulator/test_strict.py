"""What the Claude API refuses, the simulator refuses with the same error."""

from typing import Any

import anthropic
import pytest
from anthropic import AsyncAnthropic

from tests.simulator.api_client import Json, ask, request, text_of
from turnwire_simulator import Answer, RedactedThinking, Rejected, Simulator, Text, Thinking
from turnwire_simulator.signature import seal, sign
from turnwire_simulator.strict import judge

HI: Json = {"role": "user", "content": "Hi"}
CACHED: Json = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
SCHEMA: Json = {"type": "object"}
TOOL: Json = {"name": "t", "input_schema": SCHEMA}


def tool_of(properties: Json) -> Json:
    """A tool with such parameters."""
    return {"name": "t", "input_schema": {"type": "object", "properties": properties}}


def user(*blocks: Json) -> Json:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: Json) -> Json:
    return {"role": "assistant", "content": list(blocks)}


def text(words: str) -> Json:
    return {"type": "text", "text": words}


def call(tool_id: str = "toolu_1", **fields: Any) -> Json:
    return {"type": "tool_use", "id": tool_id, "name": "t", "input": {}, **fields}


def result(tool_id: str = "toolu_1", **fields: Any) -> Json:
    return {"type": "tool_result", "tool_use_id": tool_id, "content": "ok", **fields}


def thinking(words: str = "Hm.", signature: str | None = None) -> Json:
    return {"type": "thinking", "thinking": words, "signature": signature or sign(words)}


def provider_call(tool_id: str = "srvtoolu_1") -> Json:
    return {"type": "server_tool_use", "id": tool_id, "name": "web_search", "input": {}}


def provider_result(tool_id: str = "srvtoolu_1") -> Json:
    return {"type": "web_search_tool_result", "tool_use_id": tool_id, "content": []}


def without(name: str) -> Json:
    body = request()
    del body[name]
    return body


ACCEPTED = {
    "one question": request(),
    "blocks": request(user(text("a"), text("b"))),
    "a tool loop": request(HI, assistant(text("a"), call()), user(result(), text("and?"))),
    "parallel calls": request(HI, assistant(call("a"), call("b")), user(result("b"), result("a"))),
    "results over two messages": request(
        HI, assistant(call("a"), call("b")), user(result("a")), user(result("b"))
    ),
    "calls over two messages": request(
        HI, assistant(call("a")), assistant(call("b")), user(result("a"), result("b"))
    ),
    "two users in a row": request(HI, HI),
    "empty tool result": request(HI, assistant(call()), user(result(content=""))),
    "thinking": request(HI, assistant(thinking(), text("a")), HI),
    "thinking in a loop": request(HI, assistant(thinking(), call()), user(result())),
    "omitted thinking": request(HI, assistant(thinking(""), text("a")), HI),
    "redacted": request(
        HI, assistant({"type": "redacted_thinking", "data": seal()}, text("a")), HI
    ),
    "provider tool": request(HI, assistant(provider_call(), provider_result(), text("a")), HI),
    "a paused turn": request(HI, assistant(text("a"), provider_call())),
    "four breakpoints": request(user(CACHED, CACHED, CACHED, CACHED)),
    "adaptive": request(thinking={"type": "adaptive", "display": "summarized"}),
    "enabled": request(thinking={"type": "enabled", "budget_tokens": 1024, "display": "omitted"}),
    "disabled": request(thinking={"type": "disabled"}),
    "property keys as they may be": request(
        tools=[
            tool_of(
                {
                    "a.b-c_1": {},
                    "properties": {"anyOf": [{}]},
                    "c": {"enum": [{"properties": {"?": 1}}]},
                }
            )
        ]
    ),
    "custom tool": request(tools=[{"name": "t-1", "input_schema": SCHEMA}]),
    "provider's tool": request(tools=[{"type": "web_search_20260209", "name": "web_search"}]),
    "system": request(system=[text("Be kind.")], metadata={"user_id": "u"}, stop_sequences=["x"]),
}

REFUSED: dict[str, tuple[Json, str]] = {
    "no model": (without("model"), "model: "),
    "no max_tokens": (without("max_tokens"), "max_tokens: "),
    "no messages": (without("messages"), "messages: "),
    "max_tokens 0": (request(max_tokens=0), "max_tokens: "),
    "max_tokens a string": (request(max_tokens="9"), "max_tokens: "),
    "unknown field": (request(wibble=1), "wibble: "),
    "unknown role": (request({"role": "system", "content": "x"}), "messages.0.role: "),
    "no content field": (request({"role": "user"}), "messages.0.content: "),
    "no message": ({**request(), "messages": []}, "messages: "),
    "empty content": (request({"role": "user", "content": ""}), "messages.0: "),
    "no blocks": (request(HI, assistant(), HI), "messages.1: "),
    "empty text": (request(user(text(""))), "messages: text content blocks must be non-empty"),
    "blank text": (
        request(HI, assistant(text(" \n")), HI),
        "messages: text content blocks must contain non-whitespace text (messages.1.content.0)",
    ),
    "blank string": (request({"role": "user", "content": "  "}), "messages: text content"),
    "assistant first": (request(assistant(text("a")), HI), "messages: first message"),
    "prefill": (request(HI, assistant(text("a"))), "This model does not support"),
    "no result": (request(HI, assistant(call()), HI), "messages.1.content.0: `tool_use` ids"),
    "one of two results": (
        request(HI, assistant(call("a"), call("b")), user(result("a"))),
        "messages.1.content.1: `tool_use` ids",
    ),
    "result after text": (
        request(HI, assistant(call()), user(text("a"), result())),
        "messages.1.content.0: `tool_use` ids",
    ),
    "result between texts": (
        request(HI, assistant(call()), user(text("a")), user(result())),
        "messages.1.content.0: `tool_use` ids",
    ),
    "result without call": (
        request(HI, assistant(text("a")), user(result())),
        "messages.2.content.0: unexpected `tool_use_id`",
    ),
    "result at the start": (request(user(result())), "messages.0.content.0: unexpected"),
    "result too late": (
        request(HI, assistant(call()), user(result()), assistant(text("a")), user(result())),
        "messages.4.content.0: unexpected",
    ),
    "two results": (
        request(HI, assistant(call()), user(result(), result())),
        "messages.2.content.1: each tool_use must have a single result",
    ),
    "failed silently": (
        request(HI, assistant(call()), user(result(content="", is_error=True))),
        "messages.2.content.0.tool_result: content cannot be empty",
    ),
    "empty text in a result": (
        request(HI, assistant(call()), user(result(content=[text("")]))),
        "messages: text content blocks must be non-empty (messages.2.content.0.tool_result",
    ),
    "same id twice": (
        request(HI, assistant(call()), user(result()), assistant(call()), user(result())),
        "messages.3.content.0: `tool_use` ids must be unique",
    ),
    "call by the user": (request(user(call())), "messages.0.content.0: `tool_use` blocks"),
    "input not an object": (
        request(HI, assistant(call(input="{}")), user(result())),
        "messages.1.content.0.tool_use.input: ",
    ),
    "unknown block field": (
        request(HI, assistant(call(partial_json="{")), user(result())),
        "messages.1.content.0.tool_use.partial_json: Extra inputs",
    ),
    "unknown block": (
        request(HI, assistant({"type": "hologram"}), HI),
        "messages.1.content.0.type: ",
    ),
    "no signature": (
        request(HI, assistant({"type": "thinking", "thinking": "Hm."}, text("a")), HI),
        "messages.1.content.0.thinking.signature: Field required",
    ),
    "changed thinking": (
        request(HI, assistant(thinking("Hm!", sign("Hm.")), text("a")), HI),
        "messages.1.content.0: Invalid `signature`",
    ),
    "changed redacted": (
        request(HI, assistant({"type": "redacted_thinking", "data": "AAAA"}, text("a")), HI),
        "messages.1.content.0: Invalid `data`",
    ),
    "thinking last": (
        request(HI, assistant(text("a"), thinking()), HI),
        "messages.1: The final block in an assistant message cannot be `thinking`",
    ),
    "provider call alone": (
        request(HI, assistant(provider_call(), text("a")), HI),
        "messages.1.content.0: `web_search` tool use with id `srvtoolu_1` was found without",
    ),
    "provider call open at a turn's end": (
        request(HI, assistant(provider_call()), HI),
        "messages.1.content.0: `web_search` tool use",
    ),
    "provider result alone": (
        request(HI, assistant(provider_result(), text("a")), HI),
        "messages.1.content.0: `web_search_tool_result` without",
    ),
    "tool without a name": (request(tools=[{"input_schema": SCHEMA}]), "tools.0.custom.name: "),
    "tool without a schema": (request(tools=[{"name": "t"}]), "tools.0.custom.input_schema: "),
    "tool name with a space": (
        request(tools=[{"name": "a b", "input_schema": SCHEMA}]),
        "tools.0.custom.name: String should match",
    ),
    "tool name of 129": (
        request(tools=[{"name": "a" * 129, "input_schema": SCHEMA}]),
        "tools.0.custom.name: String should match",
    ),
    "anyOf at the top": (
        request(tools=[{"name": "t", "input_schema": {**SCHEMA, "anyOf": [{}]}}]),
        "tools.0.custom.input_schema: input_schema does not support oneOf, allOf, or anyOf",
    ),
    "property key with brackets": (
        request(tools=[tool_of({"filter[id]": {}})]),
        "tools.0.custom.input_schema.properties: Property keys should match pattern",
    ),
    "property key of 65": (
        request(tools=[tool_of({"a" * 65: {}})]),
        "tools.0.custom.input_schema.properties: Property keys should match pattern",
    ),
    "property key deep inside": (
        request(tools=[tool_of({"a": {"items": {"properties": {"b c": {}}}}})]),
        "tools.0.custom.input_schema.properties: Property keys should match pattern",
    ),
    "schema of an older draft": (
        request(tools=[tool_of({"a": {"exclusiveMinimum": True}})]),
        "tools.0.custom.input_schema: JSON schema is invalid.",
    ),
    "same tool twice": (
        request(tools=[{"name": "t", "input_schema": SCHEMA}] * 2),
        "tools: Tool names must be unique",
    ),
    "choice without tools": (request(tool_choice={"type": "any"}), "tool_choice: "),
    "budget above max": (
        request(thinking={"type": "enabled", "budget_tokens": 4096}),
        "max_tokens: `max_tokens` must be greater than `thinking.budget_tokens`",
    ),
    "budget too small": (
        request(thinking={"type": "enabled", "budget_tokens": 1023}),
        "thinking.enabled.budget_tokens: ",
    ),
    "unknown thinking": (request(thinking={"type": "hard"}), "thinking.type: "),
    "unknown display": (
        request(thinking={"type": "adaptive", "display": "all"}),
        "thinking.adaptive.display: ",
    ),
    "unknown thinking field": (
        request(thinking={"type": "adaptive", "budget_tokens": 2000}),
        "thinking.adaptive.budget_tokens: Extra inputs",
    ),
    "no budget": (request(thinking={"type": "enabled"}), "thinking.enabled.budget_tokens: Field"),
    "message not an object": ({**request(), "messages": ["Hi"]}, "messages.0: "),
    "unknown message field": (request({**HI, "id": "m"}), "messages.0.id: Extra inputs"),
    "block not an object": (
        request({"role": "user", "content": ["Hi"]}),
        "messages.0.content.0: ",
    ),
    "block without a type": (request(user({"text": "Hi"})), "messages.0.content.0.type: Field"),
    "call id with a space": (
        request(HI, assistant(call("a b")), user(result("a b"))),
        "messages.1.content.0.tool_use.id: ",
    ),
    "provider id of another kind": (
        request(HI, assistant(provider_call("toolu_1"), provider_result("toolu_1")), HI),
        "messages.1.content.0.server_tool_use.id: ",
    ),
    "result of a number": (
        request(HI, assistant(call()), user(result(content=7))),
        "messages.2.content.0.tool_result.content: ",
    ),
    "result in a result": (
        request(HI, assistant(call()), user(result(content=[result("toolu_2")]))),
        "messages.2.content.0.tool_result.content.0: ",
    ),
    "is_error a string": (
        request(HI, assistant(call()), user(result(is_error="no"))),
        "messages.2.content.0.tool_result.is_error: ",
    ),
    "tool not an object": (request(tools=["t"]), "tools.0: "),
    "schema of a string": (
        request(tools=[{"name": "t", "input_schema": {"type": "string"}}]),
        "tools.0.custom.input_schema.type: ",
    ),
    "unknown choice": (request(tools=[TOOL], tool_choice={"type": "x"}), "tool_choice.type: "),
    "choice of an unknown tool": (
        request(tools=[TOOL], tool_choice={"type": "tool", "name": "u"}),
        "tool_choice: ",
    ),
    "forced call while thinking": (
        request(tools=[TOOL], tool_choice={"type": "any"}, thinking={"type": "adaptive"}),
        "thinking: ",
    ),
    "system of an image": (request(system=[{"type": "image"}]), "system.0.type: "),
    "unknown cache": (
        request(user({**text("x"), "cache_control": {"type": "forever"}})),
        "messages.0.content.0.cache_control.type: ",
    ),
    "unknown cache lifetime": (
        request(user({**text("x"), "cache_control": {"type": "ephemeral", "ttl": "1d"}})),
        "messages.0.content.0.cache_control.ttl: ",
    ),
    "adaptive thinking of a model that knows budgets": (
        request(model="claude-haiku-4-5", thinking={"type": "adaptive"}),
        "adaptive thinking is not supported on this model",
    ),
    "a budget for a model that is adaptive only": (
        request(
            model="claude-sonnet-5-5",
            max_tokens=4000,
            thinking={"type": "enabled", "budget_tokens": 2000},
        ),
        '"thinking.type.enabled" is not supported for this model.',
    ),
    "no thinking of a model that always thinks": (
        request(model="claude-opus-5-5", thinking={"type": "disabled"}),
        '"thinking.type.disabled" is not supported for this model.',
    ),
    "thinking of a model without": (
        request(model="claude-3-5-haiku-latest", thinking={"type": "adaptive"}),
        "thinking: ",
    ),
    "effort of a model without": (
        request(model="claude-haiku-4-5", output_config={"effort": "low"}),
        "This model does not support the effort parameter.",
    ),
    "an answer longer than the model gives": (
        request(model="claude-haiku-4-5", max_tokens=64_001),
        "max_tokens: 64001 > 64000",
    ),
    "five breakpoints": (
        request(user(CACHED, CACHED, CACHED, CACHED), system=[CACHED]),
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
    ),
}


@pytest.mark.parametrize("body", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_what_the_api_takes_is_taken(body: Json) -> None:
    judge(body)


@pytest.mark.parametrize(("body", "start"), REFUSED.values(), ids=REFUSED.keys())
def test_what_the_api_refuses_is_refused_by_its_path(body: Json, start: str) -> None:
    with pytest.raises(Rejected) as caught:
        judge(body)

    rejected = caught.value
    assert (rejected.status, rejected.type) == (400, "invalid_request_error")
    assert rejected.message.startswith(start)


async def test_a_refused_request_is_a_400_and_takes_no_answer(
    simulator: Simulator, claude: AsyncAnthropic
) -> None:
    simulator.program(Answer(Text("kept")))

    with pytest.raises(anthropic.BadRequestError) as caught:
        await claude.messages.create(**request(user(text(""))))
    message = await ask(claude)

    assert caught.value.type == "invalid_request_error"
    assert text_of(message) == "kept"
    assert [body["messages"][0]["content"] for body in simulator.requests] == [
        [text("")],
        "Hello there",
    ]


async def test_an_unknown_model_is_not_found(claude: AsyncAnthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as caught:
        await claude.messages.create(**request(model="gpt-4"))

    assert caught.value.type == "not_found_error"


async def test_what_the_simulator_said_is_taken_back_unchanged(
    simulator: Simulator, claude: AsyncAnthropic
) -> None:
    simulator.program(Answer(Thinking("Hm."), RedactedThinking(), Text("Hi.")))
    message = await ask(claude, messages=[HI])
    turns = [HI, assistant(*(block.to_dict() for block in message.content)), HI]

    answered = await claude.messages.create(**request(*turns))
    turns[1]["content"][0]["thinking"] = "Hm?"
    with pytest.raises(anthropic.BadRequestError):
        await claude.messages.create(**request(*turns))

    assert answered.stop_reason == "end_turn"


@pytest.mark.parametrize(
    "change",
    [
        {"system": "Another."},
        {"tools": [{"name": "t", "input_schema": {"type": "object"}}]},
        {"messages": [{"role": "user", "content": "Hello!"}]},
    ],
    ids=["system", "tools", "messages"],
)
async def test_thinking_is_taken_back_only_behind_what_it_was_thought_behind(
    simulator: Simulator, claude: AsyncAnthropic, change: Json
) -> None:
    simulator.program(Answer(Thinking("Hm."), Text("Hi.")))
    message = await ask(claude, messages=[HI])
    answer = assistant(*(block.to_dict() for block in message.content))
    marked = {"role": "user", "content": [{**text("Hi"), "cache_control": {"type": "ephemeral"}}]}
    await claude.messages.create(**request(HI, answer, marked))
    before = change.get("messages", [HI])
    with pytest.raises(anthropic.BadRequestError, match="bound to a different conversation"):
        await claude.messages.create(**{**request(), **change, "messages": [*before, answer, HI]})


async def test_a_request_whose_messages_hold_calls_must_define_tools(
    claude: AsyncAnthropic,
) -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "t", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "ok"}
    turns = [HI, assistant(call), {"role": "user", "content": [result]}]
    await claude.messages.create(**request(*turns))
    with pytest.raises(anthropic.BadRequestError, match="must define tools"):
        await claude.messages.create(**request(*turns, tools=[]))


async def test_a_refused_turn_must_leave_the_context(
    simulator: Simulator, claude: AsyncAnthropic
) -> None:
    simulator.program(Answer(Text("No"), stop_reason="refusal"))
    bad = {"role": "user", "content": "Something bad"}
    await claude.messages.create(**request(HI, bad))

    with pytest.raises(anthropic.BadRequestError) as caught:
        await claude.messages.create(**request(HI, bad, assistant(text("No")), HI))
    await claude.messages.create(**request(HI, HI))
    # Asked again and answered this time, it may stay.
    await claude.messages.create(**request(HI, bad))
    await claude.messages.create(**request(HI, bad, assistant(text("Well")), HI))

    assert "messages.1" in str(caught.value)
