"""A thousand readers of one turn, and a thousand clients who come back at once."""

import asyncio
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from pydantic_core import from_json, to_json
from websockets.asyncio.client import ClientConnection, connect

from tests.faults.log_readers import log_of
from tests.kit.core import ANNA, Reader, core_on
from tests.kit.oracle import check_log, check_reader
from tests.kit.patience import patience
from tests.kit.service import serving, turnwire_over
from tests.kit.wire import wired
from turnwire_protocol import PROTOCOL, Done, Event, SendBody, Token, fold, parse_event, span_of
from turnwire_server.model.claude import Claude
from turnwire_server.model.clients import connect as connect_model
from turnwire_server.store.sqlite import SqliteStore
from turnwire_simulator import Answer, Gate, Simulator, Text
from turnwire_simulator.controls import Control

MANY = 1000
WORDS = [f"{number} " for number in range(8)]


def gated(gates: list[Gate]) -> Answer:
    """The words, each followed by its gate."""
    deltas: list[str | Control] = []
    for word, gate in zip(WORDS, gates, strict=True):
        deltas += [word, gate]
    return Answer(Text(deltas))


def has_words(count: int) -> Callable[[Sequence[Event]], bool]:
    """Whether so many have been seen."""
    return lambda seen: sum(span_of(event) for event in seen if isinstance(event, Token)) == count


def is_done(seen: Sequence[Event]) -> bool:
    """Whether the turn has ended."""
    return isinstance(seen[-1], Done)


async def test_an_event_is_encoded_once_for_a_thousand_readers(
    simulator: Simulator, tmp_path: Path
) -> None:
    gates = [Gate() for _ in WORDS]
    simulator.program(gated(gates))
    model = Claude(connect_model(simulator.url, "test-key"), stall_timeout_seconds=10_000)
    core = core_on(SqliteStore(tmp_path / "chat.db"), model)
    await core.start()
    early, readers = Reader(), [Reader() for _ in range(MANY)]
    async with patience():
        accepted = await core.send(ANNA, SendBody(content="Count"))
        await accepted.durable
        conversation, epoch = accepted.ack.conversation or "", accepted.ack.epoch or ""
        await early.connect(core, conversation, epoch)
        await early.until(has_words(1))
        began = time.monotonic()
        for reader in readers:
            await reader.connect(core, conversation, epoch)
        for number, gate in enumerate(gates, 1):
            # Everybody stands at the same place before the next word comes.
            await asyncio.gather(*(reader.until(has_words(number)) for reader in readers))
            if number < len(gates):
                gate.open()
        frames = {id(frame): frame for reader in readers for frame in reader.frames}
        gates[-1].open()
        await asyncio.gather(*(reader.until(is_done) for reader in [early, *readers]))
        seconds = time.monotonic() - began
    await core.close()
    await model.close()
    print(f"{MANY} readers in one process, {len(WORDS)} words one by one: {seconds:.2f} s")
    seqs = [frame.seq for frame in frames.values()]
    assert sorted(seqs) == list(range(1, len(seqs) + 1)), "one frame an event, the same for all"
    check_log(early.seen)
    assert fold(early.seen).turns[accepted.ack.turn or ""].text == "".join(WORDS)
    for reader in readers:
        check_reader(reader.seen, early.seen)
        assert is_done(reader.seen)


@pytest.fixture
def many_files() -> Iterator[None]:
    """Both ends of all sockets are in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * MANY
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"this takes {wanted} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Client:
    """A bare client of one conversation."""

    def __init__(self, address: str, conversation: str) -> None:
        self.seen: list[Event] = []
        self._url = f"ws://{address}/v1/ws"
        self._conversation = conversation
        self._socket: ClientConnection | None = None

    async def subscribe(self, epoch: str) -> None:
        """Connect, and have what was not seen sent."""
        self._socket = await connect(
            self._url,
            subprotocols=[PROTOCOL],  # type: ignore[list-item]
            compression=None,
            ping_interval=None,
            open_timeout=None,
            close_timeout=1,
        )
        assert from_json(await self._socket.recv())["type"] == "welcome"
        after = self.seen[-1].seq if self.seen else 0
        position = {"conversation": self._conversation, "after": after, "epoch": epoch}
        await self._socket.send(to_json({"type": "subscribe", "id": "1", **position}).decode())
        ack = from_json(await self._socket.recv())
        assert (ack["type"], ack["after"]) == ("ack", after)

    async def lose(self) -> None:
        """The connection breaks."""
        assert self._socket is not None
        self._socket.transport.abort()
        await self._socket.wait_closed()

    async def read(self, *, upto: int | None = None) -> None:
        """Read to `upto`, or to the end of the turn."""
        assert self._socket is not None
        while not self.seen or (
            self.seen[-1].seq < upto if upto else not isinstance(self.seen[-1], Done)
        ):
            self.seen.append(parse_event(from_json(await self._socket.recv())))


async def test_a_thousand_clients_who_reconnect_at_once_all_resume(
    simulator: Simulator, tmp_path: Path, many_files: None
) -> None:
    gates = [Gate() for _ in WORDS]
    simulator.program(gated(gates))
    turnwire = turnwire_over(
        simulator, db=str(tmp_path / "chat.db"), limits={"max_sockets": 3 * MANY}
    )
    async with (
        serving(turnwire) as address,
        wired(address) as asker,
        patience(),
    ):
        ack = await asker.ask("send", content="Count")
        await asker.until("token")
        head, conversation, epoch = asker.events[-1].seq, ack["conversation"], ack["epoch"]
        clients = [Client(address, conversation) for _ in range(MANY)]
        began = time.monotonic()
        await asyncio.gather(*(client.subscribe(epoch) for client in clients))
        await asyncio.gather(*(client.read(upto=head) for client in clients))
        connected = time.monotonic()
        await asyncio.gather(*(client.lose() for client in clients))
        gates[0].open()
        lost = time.monotonic()
        await asyncio.gather(*(client.subscribe(epoch) for client in clients))
        await asyncio.gather(*(client.read(upto=head + 1) for client in clients))
        resumed = time.monotonic()
        for gate in gates:
            gate.open()
        await asyncio.gather(*(client.read() for client in clients))
        done = time.monotonic()
        log = await log_of(address, conversation)
        await asyncio.gather(*(client.lose() for client in clients))
    print(
        f"{MANY} clients: connected in {connected - began:.2f} s,"
        f" resumed in {resumed - lost:.2f} s, {len(WORDS) - 2} words more in {done - resumed:.2f} s"
    )
    check_log(log)
    for client in clients:
        check_reader(client.seen, log)
        assert client.seen[-1] == log[-1]
    assert len(simulator.requests) == 1
