"""One conversation on four wires: one log, so the same is said whoever asks, and how."""

import json
from typing import Any

import httpx2

from tests.kit.chat import MODEL
from tests.kit.patience import patience
from tests.kit.service import serving, turnwire_over
from tests.kit.sse import asking
from turnwire_server import tool
from turnwire_simulator import Answer, Compaction, Simulator, Text, Thinking, ToolUse

SAID = ["by AI SDK", "by AG-UI", "by OpenAI", "by the protocol itself"]


@tool
def look(path: str) -> str:
    """Look."""
    return f"{path} is empty"


ANSWERS = [
    Answer(Thinking("Hm."), Text("First."), ToolUse("look", {"path": "a"}), stop_reason="tool_use"),
    Answer(Text("First again.")),
    Answer(Text("Second.")),
    Answer(Text("Third.")),
    Answer(Compaction("Never said."), Text("Fourth.")),
]
HEARD = ["First.First again.", "Second.", "Third.", "Fourth."]


async def sent(http: httpx2.AsyncClient, path: str, body: dict[str, Any], **headers: str) -> str:
    """The whole stream that answers."""
    response = await http.post(path, json=body, headers=headers)
    assert response.status_code == 200, response.text
    # A summary is no answer, and only our own protocol tells of it.
    assert ("Never said." in response.text) == (body.get("message") == SAID[3])
    return response.text


async def ai_sdk(http: httpx2.AsyncClient, text: str) -> None:
    message = {"id": "m1", "role": "user", "parts": [{"type": "text", "text": text}]}
    body = {"id": "chat", "messages": [message], "trigger": "submit-message"}
    assert "[DONE]" in await sent(http, "/v1/ai-sdk/v7/chat", body)


async def ag_ui(http: httpx2.AsyncClient, text: str) -> None:
    message = {"id": "m2", "role": "user", "content": text}
    body = {"threadId": "chat", "runId": "r1", "messages": [message]}
    assert "RUN_FINISHED" in await sent(http, "/v1/ag-ui", body)


async def openai(http: httpx2.AsyncClient, text: str) -> None:
    past = zip(SAID, HEARD, strict=True)
    messages = [
        message
        for said, heard in list(past)[:2]
        for message in (
            {"role": "user", "content": said},
            {"role": "assistant", "content": heard},
        )
    ]
    body = {
        "model": MODEL,
        "messages": [*messages, {"role": "user", "content": text}],
        "stream": True,
    }
    path, headers = "/openai/v1/chat/completions", {"X-Conversation-Id": "chat"}
    assert "[DONE]" in await sent(http, path, body, **headers)


async def shown_by_ai_sdk(http: httpx2.AsyncClient) -> list[tuple[str, str]]:
    """Who said what, and what came of calls, as a page that is loaded again has it."""
    response = await http.get("/v1/ai-sdk/v7/chat/chat/messages")
    assert "Never said." not in response.text
    shown: list[tuple[str, str]] = []
    for message in response.json()["messages"]:
        parts = message["parts"]
        shown.append((message["role"], "".join(p["text"] for p in parts if p["type"] == "text")))
        shown += [("tool", part["output"]) for part in parts if "output" in part]
    return shown


async def shown_by_ag_ui(http: httpx2.AsyncClient) -> list[tuple[str, str]]:
    """The same of a thread that is connected to."""
    body = {"threadId": "chat", "runId": "r9", "messages": []}
    text = await sent(http, "/v1/ag-ui/agent/default/connect", body)
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line[:5] == "data:"]
    (snapshot,) = [
        event for line in lines if (event := json.loads(line))["type"] == "MESSAGES_SNAPSHOT"
    ]
    shown: list[tuple[str, str]] = []
    results: list[tuple[str, str]] = []
    for message in snapshot["messages"]:
        said = message.get("content") or ""
        if message["role"] == "tool":
            results.append(("tool", said))
        elif message["role"] == "assistant" and shown and shown[-1][0] == "assistant":
            shown[-1] = ("assistant", shown[-1][1] + said)
        elif message["role"] != "reasoning":
            if message["role"] == "user":
                shown += results
                results = []
            shown.append((message["role"], said))
    return shown + results


async def shown_by_rest(http: httpx2.AsyncClient, conversation: str) -> list[tuple[str, str]]:
    """The same of our own fold."""
    response = await http.get(f"/v1/conversations/{conversation}")
    shown: list[tuple[str, str]] = []
    for turn in response.json()["turns"]:
        blocks = turn["blocks"]
        shown.append(("user", turn["content"]))
        texts = [block["text"] for block in blocks if block["type"] == "text"]
        shown.append(("assistant", "".join(texts)))
        shown += [("tool", block["result"]["content"]) for block in blocks if "result" in block]
    return shown


async def test_what_was_said_on_any_wire_is_read_on_each() -> None:
    async with (
        patience(),
        Simulator() as simulator,
        serving(turnwire_over(simulator, model=MODEL, tools=[look])) as address,
        asking(address) as http,
    ):
        simulator.program(*ANSWERS)
        for ask, text in zip((ai_sdk, ag_ui, openai), SAID, strict=False):
            await ask(http, text)
        (one,) = (await http.get("/v1/conversations")).json()["conversations"]
        conversation = one["conversation"]
        body = {"message": SAID[3], "conversation": conversation}
        assert "done" in await sent(http, "/v1/chat", body)
        expected = [
            line
            for said, heard in zip(SAID, HEARD, strict=True)
            for line in (("user", said), ("assistant", heard))
        ]
        expected.insert(2, ("tool", "a is empty"))
        assert await shown_by_rest(http, conversation) == expected
        assert await shown_by_ai_sdk(http) == expected
        assert await shown_by_ag_ui(http) == expected
        # And the model was shown all of it, in its own form.
        shown = [m["content"] for m in simulator.requests[-1]["messages"] if m["role"] == "user"]
        texts = [text if isinstance(text, str) else text[0].get("text") for text in shown]
        assert [text for text in texts if text is not None] == SAID
