"""The endpoint as tutorials write it: `messages.stream()`, `json.dumps`, StreamingResponse."""

import json
import socket
from collections.abc import AsyncIterator

import uvicorn
from anthropic import AsyncAnthropic
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

app = FastAPI()
client = AsyncAnthropic()


class Chat(BaseModel):
    """What the page sends."""

    message: str


@app.post("/v1/chat")
async def chat(body: Chat) -> StreamingResponse:
    """Stream the answer."""

    async def generate() -> AsyncIterator[str]:
        async with client.messages.stream(
            model="claude-bench",
            max_tokens=1024,
            messages=[{"role": "user", "content": body.message}],
        ) as stream:
            async for text in stream.text_stream:
                yield f"data: {json.dumps({'text': text})}\n\n"
        yield "data: [DONE]\n\n"

    return StreamingResponse(generate(), media_type="text/event-stream")


def run(asgi: FastAPI) -> None:
    """Serve on a free port, and say on which."""
    # With the protocol's number asyncio turns Nagle's algorithm off; without it each answer on a
    # kept connection waits 40 ms for an acknowledgement.
    listener = socket.socket(proto=socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(4096)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(asgi, log_level="error", access_log=False)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    run(app)
