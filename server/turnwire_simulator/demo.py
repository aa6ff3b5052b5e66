"""Answers when nothing is programmed: shows Markdown, thinking, tools and refusals; pure.

The user's words decide: the name of an offered tool, words of its description, or "tool" call it;
"long" makes the answer long, and calls none that is not named; "refuse" is refused; "search the
web" does, where that is offered; "summarise" has what was said summarised. Where the request has a
format, the answer is JSON that fits it. It ends where a stop sequence of the request begins.
"""

import json
import re
from typing import Any

from turnwire_simulator.answer import Answer
from turnwire_simulator.blocks import (
    ApiObject,
    BlockBuilder,
    Compaction,
    Text,
    Thinking,
    ToolUse,
    words,
)
from turnwire_simulator.compaction import summary_text
from turnwire_simulator.demo_search import wanted_search
from turnwire_simulator.demo_texts import LONG_SECTION, MARKDOWN, RESULTS, SUMMARISED
from turnwire_simulator.prompt_cache import blocks_of

__all__ = ["demo_answer"]

LONG_SECTIONS = 12

# Words of a tool's name or description that say nothing about when it is wanted.
_COMMON = re.compile(
    r".{1,3}|about|after|also|another|answers?|before|being|between|call|called|could|does|each|every|fetch"
    r"|find|from|give|given|gives|have|into|like|list|lookup|make|must|name|only|other|over|read|return"
    r"|returns|search|should|some|such|text|than|that|their|them|then|there|these|they|this|tool"
    r"|tools|used|user|uses|using|value|what|when|where|which|will|with|would|your"
)


def demo_answer(body: ApiObject) -> Answer:
    """The demo's answer to a valid request; the same request gets the same words."""
    question = _last_words(body)
    results = [block for block in _last_blocks(body) if block["type"] == "tool_result"]
    if not results and "refuse" in _lower_words(question):
        return _within(body, Text("I would rather not"), stop_reason="refusal")
    if not results and {"summarise", "summarize"} & _lower_words(question):
        # Of a real window, that happens when it is nearly full.
        return _within(body, Compaction(summary_text(body)), Text(SUMMARISED))
    items = _thinking(body, question, results)
    format = (body.get("output_config") or {}).get("format")
    if format is not None and (results or not _calls(body, question)):
        example = _example(_resolved(format["schema"]), question)
        return _within(body, *items, Text(json.dumps(example, ensure_ascii=False)))
    if results:
        return _within(body, *items, Text(_report(body, results)))
    if found := wanted_search(body, question):
        return _within(body, *items, *found)
    calls = _calls(body, question)
    if calls:
        names = " and ".join(f"`{call.name}`" for call in calls)
        return _within(body, *items, Text(f"Let me use {names}."), *calls, stop_reason="tool_use")
    quoted = "\n".join([*_attachments(body), question.strip()]).strip()
    text = MARKDOWN.format(quote=quoted.replace("\n", "\n> ") or "…")
    if "long" in _lower_words(question):
        text += "".join(LONG_SECTION.format(number=number + 1) for number in range(LONG_SECTIONS))
    return _within(body, *items, Text(text))


def _within(body: ApiObject, *items: BlockBuilder, stop_reason: str = "end_turn") -> Answer:
    """The answer cut to `max_tokens`, or at a stop sequence; a tool call is kept whole or left
    out."""
    left: int = body["max_tokens"]
    kept: list[BlockBuilder] = []
    for item in items:
        if isinstance(item, Text) and isinstance(item.text, str):
            ends = {item.text.find(stop): stop for stop in body.get("stop_sequences", ())}
            if found := [end for end in ends if end >= 0]:
                said = item.text[: min(found)]
                answer = _within(body, *kept, *([Text(said)] if said else []))
                if answer.stop_reason == "max_tokens":
                    return answer
                kept = [*kept, Text(said)] if said else kept
                return Answer(*kept, stop_reason="stop_sequence", stop_sequence=ends[min(found)])
        if isinstance(item, Text | Thinking) and isinstance(item.text, str):
            parts = words(item.text)
            if len(parts) > left:
                if isinstance(item, Text):
                    kept.append(Text(parts[:left]))
                return Answer(*kept, stop_reason="max_tokens")
            left -= len(parts)
        kept.append(item)
    return Answer(*kept, stop_reason=stop_reason)


def _thinking(body: ApiObject, question: str, results: list[ApiObject]) -> list[BlockBuilder]:
    thinking = body.get("thinking") or {}
    if thinking.get("type") not in ("adaptive", "enabled"):
        return []
    if thinking.get("display") == "omitted":
        return [Thinking("")]
    if results:
        return [Thinking(f"{len(results)} results are here. I tell what they say.")]
    start = " ".join(question.split()[:12])
    return [Thinking(f"The user says: {start}. I look for what would help, then I answer.")]


def _last_blocks(body: ApiObject) -> list[ApiObject]:
    return blocks_of(body["messages"][-1]["content"])


def _last_words(body: ApiObject) -> str:
    return "\n".join(block["text"] for block in _last_blocks(body) if block["type"] == "text")


def _attachments(body: ApiObject) -> list[str]:
    """What the user attached, by its kind."""
    kinds = (block["type"] for block in _last_blocks(body))
    return [f"[{kind}]" for kind in kinds if kind in ("image", "document")]


def _lower_words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", text.lower()))


def _telling_words(text: str) -> set[str]:
    """The words that tell what a tool is for; of a text with none, all of them."""
    found = _lower_words(text)
    return {word for word in found if not _COMMON.fullmatch(word)} or found


def _calls(body: ApiObject, question: str) -> list[ToolUse]:
    """Calls of the tools the words name; else of the first that they suggest."""
    tools = [tool for tool in body.get("tools", ()) if "input_schema" in tool]
    choice = (body.get("tool_choice") or {"type": "auto"})["type"]
    if not tools or choice == "none":
        return []
    said = _lower_words(question)
    named = [tool for tool in tools if _telling_words(tool["name"]) & said]
    hits = [len(_telling_words(tool.get("description") or "") & said) for tool in tools]
    described = [tool for tool, count in zip(tools, hits, strict=True) if count == max(hits) > 0]
    if choice == "tool":
        named = [tool for tool in tools if tool["name"] == body["tool_choice"]["name"]]
    # Who wants a long answer is not understood to want anything else but what is named.
    wanted = named[:2] or ([] if "long" in said else described[:1])
    if not wanted and (choice == "any" or said & {"tool", "tools"}):
        wanted = tools[:1]
    return [ToolUse(tool["name"], _example(tool["input_schema"], question)) for tool in wanted]


def _example(schema: Any, question: str) -> Any:
    """A value that fits a JSON schema of the usual kind, with strings from the user's words."""
    if not isinstance(schema, dict):
        return question
    for name in ("const", "default"):
        if name in schema:
            return schema[name]
    if schema.get("examples"):
        return schema["examples"][0]
    if schema.get("enum"):
        said = question.lower()
        return next(
            (each for each in schema["enum"] if str(each).lower() in said), schema["enum"][0]
        )
    for name in ("anyOf", "oneOf", "allOf"):
        if schema.get(name):
            return _example(schema[name][0], question)
    kind = schema.get("type", "string")
    numbers = re.findall(r"\d+(?:\.\d+)?", question)
    match kind[0] if isinstance(kind, list) else kind:
        case "object":
            properties = schema.get("properties") or {}
            required = schema.get("required") or ()
            telling = [name for name, value in properties.items() if _has_example(value)]
            names = dict.fromkeys([*required, *telling])
            return {name: _example(properties.get(name, {}), question) for name in names}
        case "array":
            return [_example(schema.get("items", {}), question)]
        case "integer":
            return _clamp(schema, int(float(numbers[0])) if numbers else 1)
        case "number":
            return _clamp(schema, float(numbers[0]) if numbers else 1.0)
        case "boolean":
            return True
        case "null":
            return None
    return _subject(question)


def _resolved(schema: Any, definitions: ApiObject | None = None) -> Any:
    """A schema with what it refers to in place of the references."""
    if isinstance(schema, list):
        return [_resolved(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if definitions is None:
        definitions = schema.get("$defs", {})
    if "$ref" in schema:
        return _resolved(definitions[schema["$ref"].removeprefix("#/$defs/")], definitions)
    return {name: _resolved(part, definitions) for name, part in schema.items() if name != "$defs"}


def _has_example(schema: Any) -> bool:
    return isinstance(schema, dict) and bool(schema.get("examples"))


def _clamp(schema: ApiObject, value: float) -> Any:
    return min(max(value, schema.get("minimum", value)), schema.get("maximum", value))


def _subject(question: str) -> str:
    """What the words are about: arithmetic, something quoted, the last proper name, or all."""
    if sum_ := re.search(r"[\d(][\d\s.+*/()-]*[+*/-][\d\s.+*/()-]*[\d)]", question):
        return sum_.group().strip()
    if quoted := re.search(r"[\"“'`]([^\"”'`]+)[\"”'`]", question):
        return quoted.group(1)
    if names := re.findall(r"(?<=\s)[A-Z][\w-]+(?: [A-Z][\w-]+)*", question):
        last: str = names[-1]
        return last
    return question.strip() or "example"


def _report(body: ApiObject, results: list[ApiObject]) -> str:
    names = {
        block["id"]: block["name"]
        for message in body["messages"]
        for block in blocks_of(message["content"])
        if block["type"] == "tool_use"
    }
    lines = []
    for result in results:
        verb = "failed" if result.get("is_error") else "said"
        content = result.get("content") or "nothing"
        lines.append(f"- **{names[result['tool_use_id']]}** {verb}: {_to_text(content)}\n")
    return RESULTS.format(lines="".join(lines))


def _to_text(content: str | list[ApiObject]) -> str:
    if isinstance(content, list):
        # The bytes of an image are nothing to read.
        parts = (block.get("text") or f"[{block['type']}]" for block in content)
        content = " ".join(parts)
    return " ".join(content.split())
