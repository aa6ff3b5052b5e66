"""Readers who come back: at any cursor, by either transport, to the same or a restarted service."""

from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.faults.log_readers import log_of, over_sse, over_websocket
from tests.kit.oracle import check_log, check_reader
from tests.kit.patience import patience
from tests.kit.service import serving, turnwire_over
from tests.kit.sse import SseReader, asking, listening
from tests.kit.wire import wired
from turnwire_protocol import Event, Token, fold, format_sse_id, parse_event, span_of
from turnwire_server.core.log.codec import dump, join, load
from turnwire_server.parts import store_of
from turnwire_server.store.port import Batch
from turnwire_server.store.sqlite import SqliteStore
from turnwire_simulator import Answer, Gate, Simulator, Text, Thinking

WORDS = [f"{number} " for number in range(60)]
STOPS = (2, 11, 59)
"""After so many words the model waits, and readers leave."""


@dataclass
class Leaver:
    """A reader who left; comes back, as often as the test likes, behind what it has seen."""

    seen: list[Event] = field(default_factory=list)

    @property
    def cursor(self) -> int:
        """The last seq it has seen."""
        return self.seen[-1].seq


def serve(simulator: Simulator, db: str, **settings: Any) -> AbstractAsyncContextManager[str]:
    """A service on a database; leaving it is a clean stop."""
    return serving(turnwire_over(simulator, db=db, **settings))


async def compact(db: str, conversation: str) -> int:
    """What a service does in the background when a turn has ended; how many rows are left."""
    store = store_of(db)
    await store.open()
    await store.compact(conversation, join)
    rows = await store.read(conversation, 0, max_bytes=2**30)
    await store.close()
    return len(rows)


async def all_resume(address: str, conversation: str, epoch: str, leavers: list[Leaver]) -> None:
    """Everybody comes back both ways, and then knows the same conversation."""
    log = await log_of(address, conversation)
    expected = fold(log).to_dict()
    for leaver in leavers:
        cursor = leaver.cursor
        by_socket = await over_websocket(address, conversation, after=cursor, epoch=epoch)
        by_sse = await over_sse(address, conversation, after=cursor, epoch=epoch, upto=log[-1].seq)
        for rest in (by_socket, by_sse):
            check_reader(leaver.seen + rest, log)
            assert fold(leaver.seen + rest).to_dict() == expected


async def test_readers_who_left_anywhere_come_back_to_the_same_conversation(
    simulator: Simulator, db: str
) -> None:
    gates = [Gate() for _ in STOPS]
    deltas: list[str | Gate] = list(WORDS)
    for stop, gate in reversed(list(zip(STOPS, gates, strict=True))):
        deltas.insert(stop, gate)
    simulator.program(Answer(Thinking(["Hm", "."]), Text(deltas)))
    leavers: list[Leaver] = []
    async with patience():
        async with serve(simulator, db) as address, wired(address) as asker:
            ack = await asker.ask("send", content="Count")
            conversation, epoch = ack["conversation"], ack["epoch"]
            for stop, gate in zip(STOPS, gates, strict=True):
                while sum(span_of(e) for e in asker.events if isinstance(e, Token)) < stop:
                    await asker.receive()
                head = asker.events[-1].seq
                leavers.append(Leaver(await over_websocket(address, conversation)))
                first = await over_sse(address, conversation, after=0, epoch=epoch, upto=head)
                leavers.append(Leaver(first))
                assert {leavers[-2].cursor, leavers[-1].cursor} == {head}
                await all_resume(address, conversation, epoch, leavers)
                gate.open()
            await asker.until("done")
            check_log(await log_of(address, conversation))
            await all_resume(address, conversation, epoch, leavers)
        async with serve(simulator, db) as address:
            await all_resume(address, conversation, epoch, leavers)
        assert await compact(db, conversation) == 1
        async with serve(simulator, db) as address:
            await all_resume(address, conversation, epoch, leavers)
    assert fold(asker.events).turns[ack["turn"]].text == "".join(WORDS)


# Last-Event-ID


STREAMS = ["POST /v1/chat", "GET /v1/chat", "GET /v1/conversations/…/events"]


def stream(
    address: str, which: str, conversation: str, last_event_id: str | None = None
) -> AbstractAsyncContextManager[SseReader]:
    """One of the three streaming endpoints, asked for the turn of key k."""
    headers = {} if last_event_id is None else {"last-event-id": last_event_id}
    if which == "POST /v1/chat":
        body = {"message": "Hello", "key": "k"}
        return listening(address, "/v1/chat", method="POST", json=body, headers=headers)
    if which == "GET /v1/chat":
        query = {"message": "Hello", "key": "k"}
        return listening(address, "/v1/chat", params=query, headers=headers)
    return listening(address, f"/v1/conversations/{conversation}/events", headers=headers)


async def until_done(sse: SseReader) -> list[Event]:
    """The events up to `done`, after a reset perhaps."""
    await sse.until("done")
    return [parse_event(sent.data) for sent in sse.sent if sent.type != "reset"]


@pytest.mark.parametrize("which", STREAMS)
async def test_last_event_id_of_any_event_gets_exactly_the_rest(
    simulator: Simulator, tmp_path: Path, which: str
) -> None:
    simulator.program(Answer(Thinking(["Hm", "."]), Text(["one ", "two ", "three"])))
    async with serve(simulator, str(tmp_path / "chat.db")) as address:
        async with stream(address, "POST /v1/chat", "") as sse:
            whole = await until_done(sse)
        conversation, epoch, _ = sse.sent[0].id.split(":")
        log = await log_of(address, conversation)
        for cursor in range(1, whole[-1].seq):
            id = format_sse_id(conversation, epoch, cursor)
            async with stream(address, which, conversation, id) as sse:
                rest = await until_done(sse)
            check_reader(rest, log, after=cursor)
            before = await over_websocket(address, conversation)
            kept = [event for event in before if event.seq <= cursor]
            if kept and kept[-1].seq == cursor:
                assert kept + rest == before
            assert rest[-1] == log[-1]
    assert len(simulator.requests) == 1


@pytest.mark.parametrize("which", ["POST /v1/chat", "GET /v1/chat"])
async def test_last_event_id_of_done_ends_the_reconnecting(
    simulator: Simulator, db: str, which: str
) -> None:
    async with serve(simulator, db) as address, stream(address, which, "") as sse:
        await sse.until("done")
        async with stream(address, which, "", sse.sent[-1].id) as again:
            assert again.response.status_code == 204
    async with (
        serve(simulator, db) as address,
        stream(address, which, "", sse.sent[-1].id) as again,
    ):
        assert again.response.status_code == 204
    assert len(simulator.requests) == 1


@pytest.mark.parametrize("which", STREAMS)
@pytest.mark.parametrize("wrong", ["ahead", "other epoch"])
async def test_a_last_event_id_that_is_not_in_the_log_is_reset_to_the_whole_of_it(
    simulator: Simulator, tmp_path: Path, which: str, wrong: str
) -> None:
    gate = Gate()
    simulator.program(Answer(Text(["one ", gate, "two"])))
    async with serve(simulator, str(tmp_path / "chat.db")) as address, wired(address) as asker:
        ack = await asker.ask("send", content="Hello", key="k")
        head = (await asker.until("token"))["seq"]
        conversation, epoch = ack["conversation"], ack["epoch"]
        ids = {
            "ahead": format_sse_id(conversation, epoch, head + 1),
            "other epoch": format_sse_id(conversation, "e_other", head),
        }
        async with stream(address, which, conversation, ids[wrong]) as sse:
            start = format_sse_id(conversation, epoch, 0)
            reset = await sse.until("reset")
            assert (sse.sent, reset.id, reset.data["epoch"]) == ([reset], start, epoch)
            gate.open()
            events = await until_done(sse)
        log = await log_of(address, conversation)
        check_log(log)
        check_reader(events, log)
        assert events[-1] == log[-1]
    assert len(simulator.requests) == 1


@pytest.mark.parametrize("wrong", ["ahead", "other epoch"])
async def test_a_cursor_that_is_not_in_the_log_is_reset_to_the_whole_of_it(
    simulator: Simulator, db: str, wrong: str
) -> None:
    async with serve(simulator, db) as address, wired(address) as wire:
        ack = await wire.ask("send", content="Hello")
        head = (await wire.until("done"))["seq"]
    where = {"ahead": {"after": head + 1}, "other epoch": {"after": head, "epoch": "e_other"}}
    conversation = ack["conversation"]
    async with serve(simulator, db) as address, wired(address) as wire:
        subscribed = await wire.ask("subscribe", conversation=conversation, **where[wrong])
        assert (subscribed["after"], subscribed["epoch"]) == (0, ack["epoch"])
        reset = await wire.receive()
        assert (reset["type"], reset["epoch"]) == ("reset", ack["epoch"])
        await wire.until("done")
        check_log(wire.events)
        assert wire.events == await log_of(address, conversation)


# Long answers


MANY = [f"{number:05d} " for number in range(10_000)]


async def text_frames(address: str, conversation: str) -> list[Event]:
    """What a reader who knows nothing is sent of the text."""
    events = await over_websocket(address, conversation)
    check_log(events)
    return [event for event in events if isinstance(event, Token)]


class FinestStore(SqliteStore):
    """Stores every token in a row of its own, as if the model had been so slow."""

    async def append(self, batches: list[Batch]) -> None:
        """See `Store.append`."""
        await super().append([row for batch in batches for row in _rows(batch)])


def _rows(batch: Batch) -> Iterator[Batch]:
    for item in load(batch.body):
        for seq in range(item.first_seq, item.last_seq + 1):
            body = dump([item.cut(seq - 1, seq)])
            yield replace(batch, first_seq=seq, last_seq=seq, body=body)


async def test_a_finished_answer_of_10000_tokens_resumes_in_at_most_5_text_frames(
    simulator: Simulator, tmp_path: Path
) -> None:
    simulator.program(Answer(Text(MANY)))
    db = str(tmp_path / "chat.db")
    turnwire = turnwire_over(simulator, store=FinestStore(db))
    async with serving(turnwire) as address, wired(address) as wire:
        conversation = (await wire.ask("send", content="Count"))["conversation"]
        await wire.until("done")
        live = await text_frames(address, conversation)
    async with serve(simulator, db) as address:
        restarted = await text_frames(address, conversation)
    assert await compact(db, conversation) <= 2
    async with serve(simulator, db) as address:
        compacted = await text_frames(address, conversation)
    for frames in (live, restarted, compacted):
        assert len(frames) <= 5
        assert "".join(frame.text for frame in frames if isinstance(frame, Token)) == "".join(MANY)


# Repeated keys


async def test_a_repeated_key_gets_the_first_ack_everywhere_and_the_model_is_asked_once(
    simulator: Simulator, db: str
) -> None:
    gate, asked = Gate(), Counter[str]()

    def answer(body: dict[str, Any]) -> Answer:
        asked[str(body["messages"][-1]["content"])] += 1
        return Answer(Text(["on", gate, "ce"]))

    simulator.answer_with(answer)
    said = {"content": "Hello", "key": "k"}

    async def attached(address: str) -> tuple[dict[str, Any], str]:
        """The ack, and the text of the turn attached to, by both transports."""
        async with wired(address) as wire:
            ack = await wire.ask("send", **said)
            await wire.until("done")
            by_socket = wire.fold(ack["conversation"]).turns[ack["turn"]].text
        async with asking(address) as http:
            accept = {"accept": "application/json"}
            answered = (await http.post("/v1/chat", json=said, headers=accept)).json()
        async with stream(address, "GET /v1/chat", "") as sse:
            await sse.until("done")
        assert answered["conversation"] == ack["conversation"] == sse.sent[0].data["conversation"]
        assert answered["turn"] == ack["turn"] == sse.sent[0].data["turn"]
        assert answered["text"] == by_socket
        return {name: value for name, value in ack.items() if name != "id"}, by_socket

    async with serve(simulator, db) as address:
        async with wired(address) as wire:
            first = await wire.ask("send", **said)
            del first["id"]
            await gate.reached()
        async with wired(address) as wire:
            second = await wire.ask("send", **said)
            del second["id"]
            assert second == first
            refused = await wire.ask("send", content="Other", key="k")
            assert (refused["type"], refused["code"]) == ("reject", "key_reused")
        gate.open()
        assert await attached(address) == (first, "once")
    async with serve(simulator, db) as address:
        assert await attached(address) == (first, "once")
        async with wired(address) as wire:
            refused = await wire.ask("send", content="Other", key="k")
            assert (refused["type"], refused["code"]) == ("reject", "key_reused")
    assert sum(asked.values()) == 1
