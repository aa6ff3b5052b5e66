"""Images and documents: uploaded, referred to, shown to the model, read by their owner."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from tests.kit.chat import MODEL, of_type
from tests.kit.patience import patience
from tests.kit.service import by_name, serving, turnwire_over
from tests.kit.sse import asking
from tests.kit.wire import Wire, opened, wired
from turnwire_protocol import Error, ImageBlock, Message, TextBlock, ToolResult
from turnwire_server import tool
from turnwire_server.errors import StoreError
from turnwire_server.settings import is_postgres
from turnwire_server.store.memory import MemoryBlobs, MemoryStore
from turnwire_server.store.port import Blob, Spool
from turnwire_simulator import Answer, Fault, Simulator, Text, ToolUse

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
PDF = b"%PDF-1.7\n" + bytes(50)
SAMPLES = {
    "image/png": PNG,
    "image/jpeg": b"\xff\xd8\xff\xe0" + bytes(10),
    "image/gif": b"GIF89a" + bytes(10),
    "image/webp": b"RIFF\x04\x00\x00\x00WEBPVP8 ",
    "application/pdf": PDF,
}
Block = dict[str, Any]


class Talk:
    """A service, a socket to it, and HTTP requests to it."""

    def __init__(self, wire: Wire, http: httpx2.AsyncClient) -> None:
        self.wire = wire
        self.http = http

    async def upload(
        self, data: bytes = PNG, media_type: str = "image/png", **more: str
    ) -> httpx2.Response:
        """Put the bytes in."""
        headers = {"Content-Type": media_type, **more}
        return await self.http.post("/v1/blobs", content=data, headers=headers)

    async def block(self, data: bytes = PNG, media_type: str = "image/png", **more: Any) -> Block:
        """A content block that refers to the bytes, which are put in."""
        uploaded: Block = (await self.upload(data, media_type)).json()
        kind = "image" if media_type.startswith("image/") else "document"
        return {"type": kind, **uploaded, **more}

    async def turn(self, content: Any, **fields: Any) -> dict[str, Any]:
        """Send it; returns the `done` of its turn, with the conversation it is in."""
        ack = await self.wire.ask("send", content=content, **fields)
        assert ack["type"] == "ack", ack
        return await self.wire.until("done", turn=ack["turn"])


@asynccontextmanager
async def talk(simulator: Simulator, *items: Any, **settings: Any) -> AsyncIterator[Talk]:
    """A service whose model gives these answers and faults."""
    simulator.program(*items)
    turnwire = turnwire_over(simulator, **{"model": MODEL, **settings})
    async with serving(turnwire) as address, asking(address) as http, wired(address) as wire:
        yield Talk(wire, http)


def shown(simulator: Simulator, request: int = -1) -> list[list[Block]]:
    """The blocks of each user message of a request, without cache breakpoints."""
    messages = [m for m in simulator.requests[request]["messages"] if m["role"] == "user"]
    contents = [m["content"] for m in messages]
    return [
        [{"type": "text", "text": content}] if isinstance(content, str) else _unmarked(content)
        for content in contents
    ]


def _unmarked(blocks: list[Block]) -> list[Block]:
    return [{name: block[name] for name in block if name != "cache_control"} for block in blocks]


def source(data: bytes, media_type: str) -> Block:
    """Bytes as the Messages API takes them."""
    return {"type": "base64", "media_type": media_type, "data": base64.b64encode(data).decode()}


# Over HTTP


@pytest.mark.parametrize("media_type", SAMPLES)
async def test_what_was_uploaded_is_read_back_and_may_run_nothing(
    http: httpx2.AsyncClient, media_type: str
) -> None:
    data = SAMPLES[media_type]
    uploaded = await http.post("/v1/blobs", content=data, headers={"Content-Type": media_type})
    assert uploaded.status_code == 201
    body = uploaded.json()
    assert body == {"blob": body["blob"], "media_type": media_type, "bytes": len(data)}
    read = await http.get(f"/v1/blobs/{body['blob']}")
    assert (read.status_code, read.content) == (200, data)
    headers = read.headers
    assert headers["content-type"] == media_type
    assert headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in headers["content-security-policy"]
    assert {"private", "immutable"} <= set(headers["cache-control"].split(", "))
    disposition = headers.get("content-disposition", "")
    assert disposition.startswith("attachment") == (media_type == "application/pdf")


async def test_the_same_bytes_are_one_blob_and_other_bytes_another(simulator: Simulator) -> None:
    async with talk(simulator) as service:
        ids = [(await service.block(data))["blob"] for data in (PNG, PNG, PNG + b"x")]
    assert ids[0] == ids[1] != ids[2]


UNFIT: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "image/png"),
    "another type than it says": (PNG, "image/jpeg"),
    "a page": (b"<html>", "text/html"),
    "a drawing with scripts": (b"<svg/>", "image/svg+xml"),
    "a sound in the envelope of an image": (b"RIFF\x04\x00\x00\x00WAVEfmt ", "image/webp"),
    "no type": (PNG, ""),
}


@pytest.mark.parametrize(("data", "media_type"), UNFIT.values(), ids=UNFIT)
async def test_what_is_no_image_and_no_pdf_is_refused(
    http: httpx2.AsyncClient, data: bytes, media_type: str
) -> None:
    refused = await http.post("/v1/blobs", content=data, headers={"Content-Type": media_type})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "bad_command")


async def test_the_largest_blob_is_taken_and_one_byte_more_is_not(simulator: Simulator) -> None:
    async with talk(simulator, limits={"max_blob_bytes": len(PNG)}) as service:
        assert (await service.upload(PNG)).status_code == 201
        refused = await service.upload(PNG + b"x")
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "too_large")


async def test_a_welcome_says_how_large_a_blob_may_be(simulator: Simulator) -> None:
    turnwire = turnwire_over(simulator, limits={"max_blob_bytes": 77})
    async with serving(turnwire) as address, asking(address) as http:
        async with opened(address) as wire:
            welcome = await wire.receive()
        assert welcome["limits"]["max_blob_bytes"] == 77
        assert (await http.get("/v1/blobs/b_0")).status_code == 404


async def test_a_blob_of_somebody_else_looks_like_an_unknown_one(simulator: Simulator) -> None:
    simulator.program(Answer(Text("Nice.")))
    turnwire = turnwire_over(simulator, authenticate=by_name)
    async with serving(turnwire) as address:
        async with asking(address, headers={"Authorization": "Bearer anna"}) as anna:
            mine = (
                await anna.post("/v1/blobs", content=PNG, headers={"Content-Type": "image/png"})
            ).json()
        async with asking(address, headers={"Authorization": "Bearer bert"}) as bert:
            foreign = await bert.get(f"/v1/blobs/{mine['blob']}")
            unknown = await bert.get(f"/v1/blobs/b_{'0' * 32}")
            assert foreign.status_code == unknown.status_code == 404
            assert foreign.json() == unknown.json()
            theirs = (
                await bert.post("/v1/blobs", content=PNG, headers={"Content-Type": "image/png"})
            ).json()
        async with wired(address, hello="bert") as wire:
            rejects = [
                await wire.ask("send", content=[{"type": "image", **mine, "blob": blob}])
                for blob in (mine["blob"], f"b_{'0' * 32}")
            ]
    assert theirs["blob"] != mine["blob"]
    assert rejects[0] == {**rejects[1], "id": rejects[0]["id"]}
    assert rejects[0]["code"] == "bad_command"
    assert rejects[0]["message"].startswith("content.0.blob:")
    assert simulator.requests == []


class Body:
    """A body of an upload, of which the rest comes when the test says so."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.released = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield PNG
        self.begun.set()
        await self.released.wait()
        yield b"the end"


async def test_one_upload_too_many_at_once_is_told_to_come_back(simulator: Simulator) -> None:
    async with talk(simulator, limits={"max_uploads_per_principal": 1}) as service, patience():
        body = Body()
        headers = {"Content-Type": "image/png"}
        upload = asyncio.create_task(service.http.post("/v1/blobs", content=body, headers=headers))
        await body.begun.wait()
        while (refused := await service.upload(PNG)).status_code == 201:
            pass  # The first one's head has not arrived.
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many")
        assert int(refused.headers["Retry-After"]) >= 1
        body.released.set()
        assert (await upload).status_code == 201
        assert (await service.upload(PNG + b"other")).status_code == 201


@pytest.mark.parametrize(
    ("limits", "status", "code"),
    [
        ({"max_blobs_per_principal": 1}, 429, "too_many"),
        ({"max_blob_bytes_per_principal": 200}, 413, "too_large"),
    ],
)
async def test_beyond_its_quota_a_principal_deletes_before_it_puts_in_more(
    simulator: Simulator, limits: dict[str, int], status: int, code: str
) -> None:
    async with talk(simulator, limits=limits) as service:
        first = (await service.block())["blob"]
        refused = await service.upload(PNG + b"other")
        assert (refused.status_code, refused.json()["error"]["code"]) == (status, code)
        assert (await service.upload(PNG)).json()["blob"] == first
        assert (await service.http.delete(f"/v1/blobs/{first}")).status_code == 204
        assert (await service.upload(PNG + b"other")).status_code == 201


async def test_a_large_blob_comes_back_whole(simulator: Simulator, db: str) -> None:
    data = PNG + bytes(range(256)) * 4000
    async with talk(simulator, db=db) as service:
        blob = (await service.block(data))["blob"]
        read = await service.http.get(f"/v1/blobs/{blob}")
    assert (read.content, read.headers["content-length"]) == (data, str(len(data)))


async def test_somebody_else_cannot_delete_a_blob_or_learn_of_it(simulator: Simulator) -> None:
    turnwire = turnwire_over(simulator, authenticate=by_name)
    async with (
        serving(turnwire) as address,
        asking(address, headers={"Authorization": "Bearer anna"}) as anna,
        asking(address, headers={"Authorization": "Bearer bert"}) as bert,
    ):
        headers = {"Content-Type": "image/png"}
        mine = (await anna.post("/v1/blobs", content=PNG, headers=headers)).json()["blob"]
        foreign = await bert.delete(f"/v1/blobs/{mine}")
        unknown = await bert.delete(f"/v1/blobs/b_{'0' * 32}")
        assert foreign.status_code == unknown.status_code == 404
        assert foreign.json() == unknown.json()
        assert (await anna.get(f"/v1/blobs/{mine}")).status_code == 200


# In a message


async def test_an_image_of_a_message_is_in_the_log_by_reference_and_the_model_gets_its_bytes(
    simulator: Simulator,
) -> None:
    async with talk(simulator, Answer(Text("A cat."))) as service:
        image = await service.block(name="cat.png")
        done = await service.turn([{"type": "text", "text": "What is it?"}, image])
        (message,) = of_type(service.wire, Message)
    assert done["stop_reason"] == "end_turn"
    assert message.content == [
        TextBlock(text="What is it?"),
        ImageBlock(blob=image["blob"], media_type="image/png", bytes=len(PNG), name="cat.png"),
    ]
    assert shown(simulator) == [
        [
            {"type": "text", "text": "What is it?"},
            {"type": "image", "source": source(PNG, "image/png")},
        ]
    ]


async def test_a_message_may_be_an_attachment_alone_and_the_next_turn_shows_it_again(
    simulator: Simulator,
) -> None:
    async with talk(simulator, Answer(Text("A paper.")), Answer(Text("Yes."))) as service:
        document = await service.block(PDF, "application/pdf", name="a.pdf")
        done = await service.turn([document])
        await service.turn("Are you sure?", conversation=done["conversation"])
        (head,) = (await service.http.get("/v1/conversations")).json()["conversations"]
        export = await service.http.get(f"/v1/conversations/{done['conversation']}/export")
    paper = {"type": "document", "source": source(PDF, "application/pdf"), "title": "a.pdf"}
    assert shown(simulator) == [[paper], [{"type": "text", "text": "Are you sure?"}]]
    assert head["title"] == "[a.pdf]"
    assert "[a.pdf]" in export.text


async def test_after_a_restart_the_model_still_gets_the_bytes(
    simulator: Simulator, db: str
) -> None:
    async with talk(simulator, Answer(Text("A cat.")), db=db) as service:
        done = await service.turn([await service.block()])
    async with talk(simulator, Answer(Text("Yes.")), db=db) as service:
        await service.turn("Sure?", conversation=done["conversation"])
    assert shown(simulator)[0] == [{"type": "image", "source": source(PNG, "image/png")}]


WRONG: dict[str, tuple[Block, str]] = {
    "type": ({"media_type": "image/gif"}, "content.1.media_type"),
    "size": ({"bytes": 5}, "content.1.bytes"),
    "kind": ({"type": "document", "media_type": "application/pdf"}, "content.1.media_type"),
    "form of its id": ({"blob": "../secret"}, "content.1.blob"),
    "field": ({"source": {}}, "content.1.source"),
}


@pytest.mark.parametrize(("change", "field"), WRONG.values(), ids=WRONG)
async def test_a_reference_with_a_wrong(simulator: Simulator, change: Block, field: str) -> None:
    async with talk(simulator) as service:
        image = {**await service.block(), **change}
        reject = await service.wire.ask("send", content=[{"type": "text", "text": "a"}, image])
        listed = await service.http.get("/v1/conversations")
    assert (reject["code"], reject["message"].split(":")[0]) == ("bad_command", field)
    assert listed.json() == {"conversations": []}


async def test_more_attachments_than_a_request_takes_are_refused_at_once(
    simulator: Simulator,
) -> None:
    large = PNG + bytes(9 * 1024 * 1024)
    async with talk(simulator) as service:
        image = await service.block(large)
        reject = await service.wire.ask("send", content=[image] * 3)
    assert (reject["code"], reject["message"].split(":")[0]) == ("too_large", "content")


async def test_a_repeated_send_with_an_attachment_attaches_to_its_turn(
    simulator: Simulator,
) -> None:
    async with talk(simulator, Answer(Text("A cat."))) as service:
        content = [await service.block()]
        done = await service.turn(content, key="k")
        ack = await service.wire.ask("send", content=content, key="k")
    assert (ack["turn"], len(simulator.requests)) == (done["turn"], 1)


async def test_a_message_with_an_attachment_goes_over_rest_too(simulator: Simulator) -> None:
    async with talk(simulator, Answer(Text("A cat."))) as service:
        body = {"content": [await service.block()]}
        headers = {"Accept": "application/json"}
        answer = await service.http.post("/v1/chat", json=body, headers=headers)
    assert answer.json()["text"] == "A cat."
    assert answer.json()["content"] == body["content"]


async def test_a_message_whose_blob_is_deleted_stays_and_the_model_is_told_that_it_is_lost(
    simulator: Simulator, db: str
) -> None:
    async with talk(simulator, Answer(Text("A cat.")), Answer(Text("Yes.")), db=db) as service:
        image = await service.block()
        done = await service.turn([image], key="k")
        assert (await service.http.delete(f"/v1/blobs/{image['blob']}")).status_code == 204
        assert (await service.http.get(f"/v1/blobs/{image['blob']}")).status_code == 404
        assert (await service.http.delete(f"/v1/blobs/{image['blob']}")).status_code == 404
        reject = await service.wire.ask("send", content=[image])
        assert (reject["code"], reject["message"].split(":")[0]) == (
            "bad_command",
            "content.0.blob",
        )
        again = await service.wire.ask("send", content=[image], key="k")
        assert again["turn"] == done["turn"]
        await service.turn("Sure?", conversation=done["conversation"])
        history = await service.http.get(f"/v1/conversations/{done['conversation']}")
    assert shown(simulator)[0] == [{"type": "text", "text": "[image: its bytes are lost]"}]
    assert image["blob"] in history.text


async def test_a_deleted_conversation_takes_the_blobs_with_it_that_no_other_names(
    simulator: Simulator, db: str
) -> None:
    async with talk(simulator, Answer(Text("A.")), Answer(Text("B.")), db=db) as service:
        shared, own = await service.block(), await service.block(PDF, "application/pdf")
        first = await service.turn([shared, own])
        second = await service.turn([shared])
    # As if a day had passed; and what was named in this process stays a while.
    limits = {"keep_unused_blobs_seconds": -10}
    async with talk(simulator, db=db, limits=limits) as service, patience():
        await service.http.delete(f"/v1/conversations/{first['conversation']}")
        await _collected(service, own)
        assert (await service.http.get(f"/v1/blobs/{shared['blob']}")).status_code == 200
        await service.http.delete(f"/v1/conversations/{second['conversation']}")
        await _collected(service, shared)
    if not is_postgres(db):
        assert os.listdir(f"{db}.blobs") == []


async def _collected(service: Talk, block: Block) -> None:
    """It happens in the background, right after the deletion."""
    while (await service.http.get(f"/v1/blobs/{block['blob']}")).status_code == 200:
        pass


# What the model refuses


async def test_an_image_the_model_refused_does_not_make_the_conversation_unusable(
    simulator: Simulator,
) -> None:
    refusal = Fault(400, "invalid_request_error", "Could not process image")
    async with talk(simulator, refusal, Answer(Text("Hi."))) as service:
        done = await service.turn([{"type": "text", "text": "See"}, await service.block()])
        assert done["stop_reason"] == "failed"
        again = await service.turn("Hello?", conversation=done["conversation"])
    assert again["stop_reason"] == "end_turn"
    before, now = shown(simulator)[0][:2], shown(simulator)[0][2:]
    assert [block["type"] for block in [*before, *now]] == ["text"] * len([*before, *now])
    assert before[0]["text"] == "See"


# The SDK's transport is given such a body whole, and says so.
@pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")
@pytest.mark.slow
async def test_images_that_fit_one_by_one_and_not_together_fail_their_turn_only(
    simulator: Simulator,
) -> None:
    large = [PNG + bytes(9 * 1024 * 1024) + bytes([number]) for number in range(3)]
    answers = [Answer(Text(text)) for text in ("One.", "Two.", "Hi.")]
    async with talk(simulator, *answers) as service:
        first = await service.turn([await service.block(large[0])])
        where = {"conversation": first["conversation"]}
        second = await service.turn([await service.block(large[1])], **where)
        third = await service.turn([await service.block(large[2])], **where)
        fourth = await service.turn("Hello?", **where)
        error = _last_error(service)
    ends = [done["stop_reason"] for done in (first, second, third, fourth)]
    assert ends == ["end_turn", "end_turn", "failed", "end_turn"]
    assert error == "context_too_long"
    assert len(simulator.requests) == 3


def _last_error(service: Talk) -> str:
    return of_type(service.wire, Error)[-1].code


class BlindBlobs(MemoryBlobs):
    """Blobs that cannot be read or written while they are blind."""

    def __init__(self) -> None:
        super().__init__(lambda blob: True)
        self.is_blind = False

    async def spool(self) -> Spool:
        """Fails while blind."""
        if self.is_blind:
            raise StoreError("blind")
        return await super().spool()

    async def find(self, id: str) -> Blob | None:
        """Fails while blind."""
        if self.is_blind:
            raise StoreError("blind")
        return await super().find(id)


async def test_while_the_store_is_in_trouble_blobs_are_refused_and_turns_fail_as_such(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore()
    store.blobs = blobs = BlindBlobs()
    async with talk(simulator, Answer(Text("A cat.")), store=store, retries=0) as service:
        done = await service.turn([await service.block()])
        blobs.is_blind = True
        upload = await service.upload(PDF, "application/pdf")
        other = {"type": "image", "blob": f"b_{'0' * 32}", "media_type": "image/png", "bytes": 1}
        reject = await service.wire.ask("send", content=[other])
        read = await service.http.get(f"/v1/blobs/{other['blob']}")
        assert (upload.status_code, read.status_code) == (503, 503)
        assert (reject["code"], reject["retryable"]) == ("storage_unavailable", True)
    caplog.clear()
    async with talk(simulator, Answer(Text("Hi.")), store=store, retries=0) as service:
        where = {"conversation": done["conversation"]}
        failed = await service.turn("Sure?", **where)
        assert (failed["stop_reason"], _last_error(service)) == (
            "failed",
            "storage_unavailable",
        )
        assert "blobs cannot be stored or read: blind" in caplog.messages
        blobs.is_blind = False
        healed = await service.turn("Sure?", **where)
    assert healed["stop_reason"] == "end_turn"
    assert shown(simulator)[0][0]["source"] == source(PNG, "image/png")


# From tools


@tool
def draw() -> list[Block]:
    """Draw something."""
    return [
        {"type": "text", "text": "Here:"},
        {"type": "image", "source": source(PNG, "image/png")},
        {"type": "image", "source": source(b"no image", "image/png")},
    ]


async def test_an_image_a_tool_returns_is_stored_and_the_model_gets_its_bytes(
    simulator: Simulator,
) -> None:
    call = Answer(ToolUse("draw", {}), stop_reason="tool_use")
    async with talk(simulator, call, Answer(Text("Nice.")), tools=[draw]) as service:
        await service.turn("Draw")
        (result,) = of_type(service.wire, ToolResult)
        assert isinstance(result.content, list)
        text, image, left_out = result.content
        assert isinstance(image, ImageBlock)
        read = await service.http.get(f"/v1/blobs/{image.blob}")
    assert read.content == PNG
    assert text == TextBlock(text="Here:")
    assert isinstance(left_out, TextBlock)
    (sent,) = shown(simulator)[1]
    assert (sent["type"], result.is_error) == ("tool_result", False)
    assert sent["content"] == [
        {"type": "text", "text": "Here:"},
        {"type": "image", "source": source(PNG, "image/png")},
        {"type": "text", "text": left_out.text},
    ]


SCREEN = {"name": "look", "description": "A picture.", "input_schema": {"type": "object"}}


async def test_a_tool_in_the_client_answers_with_an_image_it_has_uploaded(
    simulator: Simulator,
) -> None:
    call = Answer(ToolUse("look", {}), stop_reason="tool_use")
    async with talk(simulator, call, Answer(Text("A cat."))) as service:
        image = await service.block()
        ack = await service.wire.ask("send", content="?", client_tools=[SCREEN], runner="r_1")
        executing = await service.wire.until("tool_executing")
        fields = {
            "conversation": ack["conversation"],
            "tool_id": executing["tool_id"],
            "runner": "r_1",
        }
        unknown = {**image, "blob": f"b_{'0' * 32}"}
        reject = await service.wire.ask("tool_output", **fields, content=[unknown])
        assert (reject["code"], reject["message"].split(":")[0]) == (
            "bad_command",
            "content.0.blob",
        )
        await service.wire.ask("tool_output", **fields, content=[image])
        async with patience():
            await service.wire.until("done")
        (result,) = of_type(service.wire, ToolResult)
    assert result.content == [ImageBlock(**image)]
    (sent,) = shown(simulator)[1]
    assert sent["content"] == [{"type": "image", "source": source(PNG, "image/png")}]
