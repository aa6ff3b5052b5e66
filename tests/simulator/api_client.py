"""Shortest ways to ask the simulator something through the real SDK."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from anthropic import AsyncAnthropic
from anthropic.types import Message, RawMessageStreamEvent

from turnwire_simulator import Simulator

Json = dict[str, Any]


def request(*messages: Json, **fields: Any) -> Json:
    """A valid request body, with `messages` or one short question.

    Where messages hold calls, it defines a tool: a request without any would be refused.
    """
    if "tool_" in str(messages):
        fields.setdefault("tools", [{"name": "tool", "input_schema": {"type": "object"}}])
    return {
        "model": "claude-simulated-opus",
        "max_tokens": 4096,
        "messages": list(messages) or [{"role": "user", "content": "Hello there"}],
        **fields,
    }


async def ask(claude: AsyncAnthropic, **fields: Any) -> Message:
    """The whole answer of a streaming request, as the SDK puts it together."""
    async with claude.messages.stream(**request(**fields)) as stream:
        return await stream.get_final_message()


async def raw_events(claude: AsyncAnthropic, **fields: Any) -> list[RawMessageStreamEvent]:
    """The API events of a streaming request."""
    stream = await claude.messages.create(**request(**fields), stream=True)
    return [event async for event in stream]


def text_of(message: Message) -> str:
    """The text blocks of a message, joined."""
    return "".join(block.text for block in message.content if block.type == "text")


@asynccontextmanager
async def streaming(simulator: Simulator) -> AsyncIterator[aiohttp.ClientResponse]:
    """A streaming response below the SDK, for what is about bytes."""
    async with (
        aiohttp.ClientSession(headers={"x-api-key": "x"}) as session,
        session.post(f"{simulator.url}/v1/messages", json=request(stream=True)) as response,
    ):
        yield response


async def pieces_of(simulator: Simulator) -> list[bytes]:
    """The body of a streaming response, one item for each chunk."""
    async with streaming(simulator) as response:
        return [data async for data, _ in response.content.iter_chunks() if data]
