"""A full disk, a locked database, a PostgreSQL that takes no writes: what cannot be stored is
refused before the ack, readers go on, and it heals itself."""

import asyncio
import resource
import sqlite3
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.faults.log_readers import log_of, over_sse, over_websocket
from tests.faults.server import killable
from tests.kit.core import ANNA, Reader, core_on
from tests.kit.oracle import check_log, check_reader
from tests.kit.patience import patience
from tests.kit.postgres import fresh_url
from tests.kit.service import serving, turnwire_over
from tests.kit.sse import asking
from tests.kit.wire import Wire, wired
from tests.server.store.store_rows import bodies_of, opened
from turnwire_protocol import Error, Message, SendBody, fold
from turnwire_server.core.log.codec import load
from turnwire_server.model.claude import Claude
from turnwire_server.model.clients import connect
from turnwire_server.store.port import Batch
from turnwire_server.store.sqlite import SqliteStore
from turnwire_simulator import Answer, Gate, Simulator, Text, Thinking

Trouble = Callable[[], None]


@contextmanager
def full_disk(pid: int) -> Iterator[Trouble]:
    """No file of the process can be written, until the yielded function is called."""
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, hard))

    def end() -> None:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))

    yield end


@contextmanager
def read_only(url: str) -> Iterator[Trouble]:
    """PostgreSQL takes no writes, until the yielded function is called."""

    async def set(value: str) -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute("SET default_transaction_read_only = off")
            await connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
            await connection.execute("SELECT pg_reload_conf()")
        finally:
            await connection.close()
        # All others know by the time at which who comes anew does.
        while True:
            connection = await asyncpg.connect(url)
            is_known = await connection.fetchval("SHOW default_transaction_read_only") == value
            await connection.close()
            if is_known:
                return

    def run(value: str) -> None:
        # Beside the loop of the test, which waits: what is in trouble must not see half of it.
        thread = threading.Thread(target=lambda: asyncio.run(set(value)))
        thread.start()
        thread.join()

    run("on")
    try:
        yield lambda: run("off")
    finally:
        run("off")


@contextmanager
def locked(db: Path) -> Iterator[Trouble]:
    """Another program writes to the database, until the yielded function is called."""
    with closing(sqlite3.connect(db, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")

        def end() -> None:
            other.execute("ROLLBACK")

        yield end


class Place:
    """A service, and how its store is brought into trouble."""

    def __init__(
        self, address: str, trouble: Callable[[], AbstractContextManager[Trouble]]
    ) -> None:
        self.address = address
        self.trouble = trouble
        """Writing fails until the function is called that this gives."""


@asynccontextmanager
async def placed(kind: str, simulator: Simulator, db: Path) -> AsyncIterator[Place]:
    """For a full disk, whose limit is a process's, the service is a process of its own."""
    if kind == "locked":
        async with serving(turnwire_over(simulator, db=str(db))) as address:
            yield Place(address, lambda: locked(db))
    elif kind == "read only":
        url = fresh_url()
        async with serving(turnwire_over(simulator, db=url)) as address:
            yield Place(address, lambda: read_only(url))
    else:
        async with killable(simulator.url, db) as server:
            await server.start()
            yield Place(server.url.removeprefix("http://"), lambda: full_disk(server.pid))


async def ready(address: str) -> int:
    """The status of `GET /ready`; what it says of trouble is checked."""
    async with asking(address) as http:
        response = await http.get("/ready")
    if response.status_code == 503:
        assert response.json()["code"] == "storage_unavailable"
        assert datetime.fromisoformat(response.json()["since"]).tzinfo == UTC
    return response.status_code


async def healed(wire: Wire, **said: Any) -> dict[str, Any]:
    """The ack of a send that is repeated, as clients do, until the store takes it."""
    while True:
        answer = await wire.ask("send", **said)
        if answer["type"] == "ack":
            return answer
        assert (answer["code"], answer["retryable"]) == ("storage_unavailable", True)
        # The server says when to come back; it is asked at most as often as it asks its store.
        await asyncio.sleep(min(answer["retry_after_seconds"], 0.1))


def count(simulator: Simulator) -> Counter[str]:
    """How often the model was asked each last message."""
    asked = Counter[str]()
    for body in simulator.requests:
        content = body["messages"][-1]["content"]
        asked[content if isinstance(content, str) else content[-1]["text"]] += 1
    return asked


@pytest.mark.parametrize("kind", ["full disk", "locked", "read only"])
async def test_sends_are_refused_while_nothing_can_be_stored_and_work_once_afterwards(
    simulator: Simulator, tmp_path: Path, kind: str
) -> None:
    simulator.answer_with(lambda body: Answer(Text(["Hel", "lo"])))
    async with (
        patience(),
        placed(kind, simulator, tmp_path / "chat.db") as place,
        wired(place.address) as wire,
    ):
        address = place.address
        ack = await wire.ask("send", content="before", key="k0")
        await wire.until("done")
        conversation, epoch = ack["conversation"], ack["epoch"]
        before = await log_of(address, conversation)
        with place.trouble() as end_trouble:
            said = {"content": "meanwhile", "key": "k1", "conversation": conversation}
            for again in range(3):
                refused = await wire.ask("send", **said)
                assert (refused["type"], refused["code"]) == ("reject", "storage_unavailable")
                assert refused["retryable"], again
                assert refused["retry_after_seconds"] > 0
            new = {"content": "new", "key": "k2"}
            assert (await wire.ask("send", **new))["code"] == "storage_unavailable"
            async with asking(address) as http:
                response = await http.post("/v1/chat", json=new)
                assert response.status_code == 503
                assert response.json()["error"]["code"] == "storage_unavailable"
            assert await ready(address) == 503
            # What is wrong with a command itself needs no store to be said.
            bad = {"content": "x", "model": "no such model"}
            assert (await wire.ask("send", **bad))["code"] == "bad_command"
            nowhere = {"content": "x", "conversation": "c_nowhere"}
            assert (await wire.ask("send", **nowhere))["code"] == "unknown_conversation"
            stale = {"content": "x", "conversation": conversation, "retract": "t_nowhere"}
            assert (await wire.ask("send", **stale))["code"] == "unknown_turn"
            assert await log_of(address, conversation) == before
            seen = await over_sse(address, conversation, after=1, epoch=epoch, upto=before[-1].seq)
            assert [before[0], *seen] == before
            end_trouble()
        first, second = await healed(wire, **said), await wire.ask("send", **said)
        assert first["turn"] == second["turn"]
        await wire.end(first["turn"])
        begun = await healed(wire, **new)
        await wire.end(begun["turn"])
        assert await ready(address) == 200
        log = await log_of(address, conversation)
        check_log(log)
        check_reader([e for e in wire.events if e.conversation == conversation], log)
        messages = [event.content for event in log if isinstance(event, Message)]
        assert messages == ["before", "meanwhile"]
        check_log(await log_of(address, begun["conversation"]))
    assert count(simulator) == {"before": 1, "meanwhile": 1, "new": 1}


BIG = ["x" * 8192 for _ in range(160)]
"""More than may wait to be stored."""


@pytest.mark.parametrize("waits_for", ["time", "size"])
@pytest.mark.parametrize("kind", ["full disk", "locked", "read only"])
async def test_a_turn_whose_tail_cannot_be_stored_ends_failed_and_the_next_one_works(
    simulator: Simulator, tmp_path: Path, kind: str, waits_for: str
) -> None:
    gate, end = Gate(), Gate()
    # Thinking that was cut off is not shown to the model again: so much would be too long.
    big = [Thinking(BIG)] if waits_for == "size" else []
    simulator.program(Answer(Text(["head ", gate, "tail"]), *big, Text([end, "never"])))
    async with (
        patience(),
        placed(kind, simulator, tmp_path / "chat.db") as place,
        wired(place.address) as wire,
    ):
        address = place.address
        ack = await wire.ask("send", content="before")
        token = await wire.until("token")
        conversation = ack["conversation"]
        with place.trouble() as end_trouble:
            gate.open()
            # The model is hung up on: that is how the turn is seen to have ended, as what it has
            # written cannot be seen yet.
            await simulator.wait(lambda: simulator.aborted_streams == 1)
            assert await ready(address) == 503
            seen = await over_websocket(address, conversation)
            assert seen[-1].seq == token["seq"], "readers of what is durable go on"
            said = {"content": "next", "key": "k", "conversation": conversation}
            refused = await wire.ask("send", **said)
            assert refused["code"] == "storage_unavailable"
            end_trouble()
        done = await wire.end(ack["turn"])
        assert done.stop_reason == "failed"
        simulator.program(Answer(Text("Fine")))
        following = await healed(wire, **said)
        done = await wire.end(following["turn"])
        assert done.stop_reason == "end_turn"
        assert await ready(address) == 200
        log = await log_of(address, conversation)
        check_log(log)
        check_reader(wire.events, log)
        errors = [event.code for event in log if isinstance(event, Error)]
        assert errors == ["storage_unavailable"]
        assert fold(log).turns[ack["turn"]].text == "head tail"
    assert sum(count(simulator).values()) == 2


class AnnouncingStore(SqliteStore):
    """Tells when it is asked to store something."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.asked = asyncio.Event()

    async def append(self, batches: list[Batch]) -> None:
        """See `Store.append`."""
        self.asked.set()
        await super().append(batches)


async def test_closing_while_a_commit_is_under_way_stores_how_the_turn_ended(
    simulator: Simulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()
    simulator.program(Answer(Text(["one ", gate, "two ", Gate(), "never"])))
    db = tmp_path / "chat.db"
    model = Claude(connect(simulator.url, "test-key"), stall_timeout_seconds=10_000)
    store = AnnouncingStore(db)
    core = core_on(store, model)
    await core.start()
    async with patience():
        accepted = await core.send(ANNA, SendBody(content="Count"))
        conversation, epoch = accepted.ack.conversation or "", accepted.ack.epoch or ""
        await accepted.durable
        reader = Reader()
        await reader.connect(core, conversation, epoch)
        await reader.until(lambda seen: any(event.type == "token" for event in seen))
        with locked(db) as end_trouble:
            store.asked.clear()
            gate.open()
            await store.asked.wait()
            closing_core = asyncio.create_task(core.close())
            await asyncio.sleep(0)
            end_trouble()
            await closing_core
        await model.close()
        async with opened(db) as again:
            bodies = await bodies_of(again, conversation)
        log = [item.event for body in bodies for item in load(body)]
    check_log(log)
    assert fold(log).turns[accepted.ack.turn or ""].text == "one two "
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
