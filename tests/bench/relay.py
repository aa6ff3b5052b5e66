"""The floor: the model's bytes passed on as they come, without looking at them."""

import os
from collections.abc import AsyncIterator

import aiohttp
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from tests.bench.tutorial import Chat, run

app = FastAPI()
sessions: list[aiohttp.ClientSession] = []


@app.post("/v1/chat")
async def chat(body: Chat) -> StreamingResponse:
    """Stream the answer."""
    if not sessions:
        sessions.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
    request = {"messages": [{"role": "user", "content": body.message}]}

    async def generate() -> AsyncIterator[bytes]:
        url = f"{os.environ['ANTHROPIC_BASE_URL']}/v1/messages"
        async with sessions[0].post(url, json=request) as response:
            async for chunk in response.content.iter_any():
                yield chunk

    return StreamingResponse(generate(), media_type="text/event-stream")


if __name__ == "__main__":
    run(app)
