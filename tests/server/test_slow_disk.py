"""A slow disk is no slow chat: while it syncs the answer goes on, for the next commit."""

import asyncio

from tests.kit.chat import MODEL, of_type
from tests.kit.oracle import check_log
from tests.kit.patience import patience
from tests.kit.service import serving, turnwire_over
from tests.kit.wire import wired
from turnwire_protocol import Token
from turnwire_server.store.memory import MemoryStore
from turnwire_server.store.port import Batch
from turnwire_simulator import Answer, Gate, Simulator, Text

WORDS = [f"{number} " for number in range(300)]


class SlowStore(MemoryStore):
    """A store whose commits take as long as the test says; it knows how many are under way."""

    def __init__(self, *, held: bytes) -> None:
        super().__init__()
        self.syncs = asyncio.Event()
        """Set once a commit is under way that holds this."""
        self.is_quick = asyncio.Event()
        self.commits: list[bytes] = []
        self.most = 0
        self._held = held
        self._under_way = 0

    async def append(self, batches: list[Batch]) -> None:
        """Takes its time from then on."""
        body = b"".join(batch.body for batch in batches)
        self._under_way += 1
        self.most = max(self.most, self._under_way)
        if self._held in body:
            self.syncs.set()
            await self.is_quick.wait()
        await super().append(batches)
        self._under_way -= 1
        self.commits.append(body)


async def test_an_answer_goes_on_while_a_commit_is_under_way_and_comes_whole_and_in_order(
    simulator: Simulator,
) -> None:
    gate = Gate()
    simulator.program(Answer(Text(WORDS)).at(1, gate))
    store = SlowStore(held=b'"type":"usage"')
    turnwire = turnwire_over(simulator, store=store, model=MODEL)
    async with patience(), serving(turnwire) as address, wired(address) as wire:
        ack = await wire.ask("send", content="Hello")
        await store.syncs.wait()
        gate.open()
        # The model's answer is taken in to its end meanwhile, and nobody sees any of it.
        while turnwire.hub.unfinished:  # noqa: ASYNC110 (nothing says so)
            await asyncio.sleep(0)
        await wire.ask("ping")
        assert of_type(wire, Token) == []
        before = len(store.commits)
        store.is_quick.set()
        await wire.until("done", turn=ack["turn"])
    assert "".join(token.text for token in of_type(wire, Token)) == "".join(WORDS)
    check_log(wire.events)
    # One at a time; all that came during the one is in the next.
    assert store.most == 1
    assert len(store.commits) == before + 2
