"""The rules between the messages of a request and between their blocks; pure.

Messages of one role that follow each other are judged as the one message the API makes of them.
"""

from typing import NamedTuple

from turnwire_simulator.blocks import ApiObject
from turnwire_simulator.errors import Rejected
from turnwire_simulator.prompt_cache import blocks_of
from turnwire_simulator.provider_tools import judge_returned
from turnwire_simulator.shapes import expect, is_result, judge_block

__all__ = ["judge_messages"]

_THINKING = ("thinking", "redacted_thinking")


class Placed(NamedTuple):
    """A block and where the request has it."""

    path: str
    block: ApiObject


class Joined(NamedTuple):
    """Consecutive messages of one role, as one; `path` is that of the first."""

    path: str
    role: str
    placed: list[Placed]

    def calls(self) -> dict[str, str]:
        """Path by id of the calls of the client's tools."""
        return {block["id"]: path for path, block in self.placed if block["type"] == "tool_use"}


def judge_messages(messages: list[ApiObject]) -> None:
    """Raises `Rejected` unless the API would take these messages."""
    expect(bool(messages), "messages", "at least one message is required")
    joined = _join(messages)
    expect(joined[0].role == "user", "messages", "first message must use the `user` role")
    _judge_ids(joined)
    for message, following in zip(joined, [*joined[1:], None], strict=True):
        if message.role == "assistant":
            # A turn that the API paused is continued by sending it back as the last message: at its
            # end is a call of the API's own tool, or the result of one.
            last = message.placed[-1].block
            is_paused = following is None and (last["type"] == "server_tool_use" or is_result(last))
            if following is None and not is_paused:
                raise Rejected(
                    "This model does not support assistant message prefill. "
                    "The conversation must end with a user message."
                )
            _judge_provider_calls(message, is_paused=is_paused)
            kind = message.placed[-1].block["type"]
            ending = f"The final block in an assistant message cannot be `{kind}`."
            expect(kind not in _THINKING, message.path, ending)
            if following is not None:
                _judge_results(message, following)


def _join(messages: list[ApiObject]) -> list[Joined]:
    joined: list[Joined] = []
    for number, message in enumerate(messages):
        path = f"messages.{number}"
        expect(isinstance(message, dict), path, "Input should be a valid dictionary")
        for name in message.keys() - {"role", "content"}:
            raise Rejected(f"{path}.{name}: Extra inputs are not permitted")
        role = message.get("role", "")
        expect(
            role in ("user", "assistant"), f"{path}.role", "Input should be 'user' or 'assistant'"
        )
        content = message.get("content", 0)
        fits = isinstance(content, str | list)
        expect(fits, f"{path}.content", "Input should be a valid string or list")
        expect(bool(content), path, "all messages must have non-empty content")
        placed = [
            Placed(f"{path}.content.{position}", block)
            for position, block in enumerate(blocks_of(content))
        ]
        for place in placed:
            judge_block(place.block, role, place.path)
            judge_returned(place.block, place.path)
        if joined and joined[-1].role == role:
            joined[-1].placed.extend(placed)
        else:
            joined.append(Joined(path, role, placed))
    results = [place for place in joined[0].placed if place.block["type"] == "tool_result"]
    if results:
        _reject_unexpected(results[0])
    return joined


def _judge_ids(joined: list[Joined]) -> None:
    seen: set[str] = set()
    for message in joined:
        for path, block in message.placed:
            if block["type"] in ("tool_use", "server_tool_use"):
                expect(block["id"] not in seen, path, "`tool_use` ids must be unique")
                seen.add(block["id"])


def _judge_results(assistant: Joined, user: Joined) -> None:
    calls = assistant.calls()
    answered: set[str] = set()
    for number, place in enumerate(user.placed):
        if place.block["type"] != "tool_result":
            continue
        tool_id = place.block["tool_use_id"]
        if tool_id not in calls:
            _reject_unexpected(place)
        once = f"each tool_use must have a single result. Found multiple results with id: {tool_id}"
        expect(tool_id not in answered, place.path, once)
        if number == len(answered):
            answered.add(tool_id)
    missing = [tool_id for tool_id in calls if tool_id not in answered]
    if missing:
        raise Rejected(
            f"{calls[missing[0]]}: `tool_use` ids were found without `tool_result` blocks "
            f"immediately after: {', '.join(missing)}. Each `tool_use` block must have a "
            "corresponding `tool_result` block in the next message."
        )


def _judge_provider_calls(message: Joined, *, is_paused: bool) -> None:
    waiting: dict[str, Placed] = {}
    for place in message.placed:
        block = place.block
        if block["type"] in ("server_tool_use", "mcp_tool_use"):
            waiting[block["id"]] = place
        elif is_result(block):
            known = waiting.pop(block["tool_use_id"], None) is not None
            expect(known, place.path, f"`{block['type']}` without its call")
    if is_paused and message.placed[-1].block["type"] == "server_tool_use":
        del waiting[message.placed[-1].block["id"]]
    for tool_id, (path, block) in waiting.items():
        raise Rejected(
            f"{path}: `{block['name']}` tool use with id `{tool_id}` was found without a "
            f"corresponding `{block['name']}_tool_result` block"
        )


def _reject_unexpected(place: Placed) -> None:
    tool_id = place.block["tool_use_id"]
    raise Rejected(
        f"{place.path}: unexpected `tool_use_id` found in `tool_result` blocks: {tool_id}. Each "
        "`tool_result` block must have a corresponding `tool_use` block in the previous message."
    )
