"""The demo is worth looking at, and what it says is taken back by the strict judge."""

import jsonschema
import pytest
from anthropic import AsyncAnthropic

from tests.simulator.api_client import Json, ask, text_of
from turnwire_simulator import Simulator

WEATHER: Json = {
    "name": "get_weather",
    "description": "Weather for a city",
    "input_schema": {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer", "minimum": 1, "maximum": 9},
            "unit": {"enum": ["celsius", "fahrenheit"]},
            "spots": {"type": "array", "items": {"type": "number"}},
        },
        "required": ["city", "days", "unit", "spots"],
    },
}
CLOCK: Json = {
    "name": "clock",
    "description": "Tells the hour",
    "input_schema": {"type": "object", "properties": {}},
}


def user(words: str) -> Json:
    return {"role": "user", "content": words}


async def test_the_users_words_come_back_in_markdown(claude: AsyncAnthropic) -> None:
    message = await ask(claude, messages=[user("What is {this}?")])

    said = text_of(message)
    assert "> What is {this}?" in said
    for mark in ("# ", "|---|", "```python", "1. "):
        assert mark in said


async def test_thinking_comes_first_when_it_is_asked_for(claude: AsyncAnthropic) -> None:
    shown = await ask(claude, thinking={"type": "adaptive"})
    omitted = await ask(claude, thinking={"type": "adaptive", "display": "omitted"})
    absent = await ask(claude)

    assert [block.type for block in shown.content] == ["thinking", "text"]
    assert shown.content[0].to_dict()["thinking"]
    assert omitted.content[0].to_dict()["thinking"] == ""
    assert [block.type for block in absent.content] == ["text"]


async def test_two_named_tools_are_called_at_once_and_their_results_used(
    simulator: Simulator, claude: AsyncAnthropic
) -> None:
    question = user("What is the weather in Berlin by the clock, for 3 days, in fahrenheit?")
    options: Json = {"tools": [WEATHER, CLOCK], "thinking": {"type": "adaptive"}}

    asked = await ask(claude, messages=[question], **options)
    calls = [block for block in asked.content if block.type == "tool_use"]
    results = [
        {"type": "tool_result", "tool_use_id": call.id, "content": f"{call.name} is fine"}
        for call in calls
    ]
    told = await ask(
        claude,
        messages=[
            question,
            {"role": "assistant", "content": [block.to_dict() for block in asked.content]},
            {"role": "user", "content": results},
        ],
        **options,
    )

    assert asked.stop_reason == "tool_use"
    assert [call.name for call in calls] == ["get_weather", "clock"]
    assert calls[0].input == {"city": "Berlin", "days": 3, "unit": "fahrenheit", "spots": [3.0]}
    jsonschema.validate(calls[0].input, WEATHER["input_schema"])
    assert told.stop_reason == "end_turn"
    said = text_of(told)
    assert "get_weather is fine" in said
    assert "clock is fine" in said


@pytest.mark.parametrize(
    ("words", "called"),
    [
        ("Please use a tool", ["get_weather"]),
        ("Tell me the hour", ["clock"]),
        ("Good morning", []),
    ],
)
async def test_a_tool_is_called_when_the_words_suggest_it(
    claude: AsyncAnthropic, words: str, called: list[str]
) -> None:
    message = await ask(claude, messages=[user(words)], tools=[WEATHER, CLOCK])

    assert [block.name for block in message.content if block.type == "tool_use"] == called


async def test_the_tool_whose_description_fits_best_is_called_with_its_examples(
    claude: AsyncAnthropic,
) -> None:
    schema: Json = {
        "type": "object",
        "properties": {
            "zone": {"type": "string", "examples": ["Oslo"]},
            "seconds": {"type": "boolean", "examples": [False]},
            "style": {"type": "string"},
        },
        "required": ["zone"],
    }
    here: Json = {"name": "local", "description": "The hour near you", "input_schema": schema}
    message = await ask(claude, messages=[user("Which hour is it near me?")], tools=[CLOCK, here])

    (call,) = [block for block in message.content if block.type == "tool_use"]
    assert (call.name, call.input) == ("local", {"zone": "Oslo", "seconds": False})


async def test_refuse_is_refused(claude: AsyncAnthropic) -> None:
    message = await ask(claude, messages=[user("Please refuse this")])

    assert message.stop_reason == "refusal"


async def test_long_is_long_and_stays_within_max_tokens(claude: AsyncAnthropic) -> None:
    short = await ask(claude, messages=[user("Hello")])
    long = await ask(claude, messages=[user("A long one")])
    cut = await ask(claude, messages=[user("A long one")], max_tokens=20)

    assert long.usage.output_tokens > 5 * short.usage.output_tokens
    assert (cut.stop_reason, cut.usage.output_tokens) == ("max_tokens", 20)


async def test_a_long_answer_is_no_call_of_a_tool_that_is_described_by_such_words(
    claude: AsyncAnthropic,
) -> None:
    # As the chat page describes its own.
    asking = {
        "name": "ask_user",
        "description": "Ask the user a question and wait for the answer, however long",
        "input_schema": {"type": "object", "properties": {}},
    }

    async def answered(words: str, *more: Json) -> tuple[str | None, int]:
        message = await ask(claude, messages=[user(words)], tools=[asking, *more])
        return message.stop_reason, message.usage.output_tokens

    end, length = await answered("Give me a long answer")
    assert (end, length > 300) == ("end_turn", True)
    assert (await answered("Give me an answer"))[0] == "end_turn"
    assert (await answered("A long answer about the weather in Berlin", WEATHER))[0] == "tool_use"
    assert (await answered("Ask me a question"))[0] == "tool_use"


async def test_a_search_of_the_web_has_sources_and_goes_back(claude: AsyncAnthropic) -> None:
    tools = [{"type": "web_search_20260318", "name": "web_search"}]
    words = user("Please search the web for the planet Mars?")
    message = await ask(claude, messages=[words], tools=tools)
    blocks: list[Json] = [block.to_dict() for block in message.content]
    assert blocks[1]["input"] == {"query": "the planet Mars"}
    cited = [len(block.get("citations") or ()) for block in blocks if block["type"] == "text"]
    assert cited == [0, 0, 1, 0, 2, 0]
    again = await ask(
        claude,
        messages=[words, {"role": "assistant", "content": blocks}, user("Thanks")],
        tools=tools,
    )
    without = await ask(claude, messages=[words])
    assert [again.stop_reason, without.content[0].type] == ["end_turn", "text"]
    assert "search" not in {block.type for block in without.content}
