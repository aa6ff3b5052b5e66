"""Random commands, readers and restarts against a model of what the conversation should be."""

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.faults.model import GATES, ExpectedConversation, ExpectedTurn, Place
from tests.kit.core import ANNA, Reader, core_on
from tests.kit.oracle import check_end, check_log, check_reader
from tests.kit.patience import patience
from tests.kit.postgres import fresh_url
from turnwire_protocol import (
    Ack,
    Cancel,
    Code,
    Done,
    Event,
    SendBody,
    StopReason,
    Token,
    fold,
    merge,
    span_of,
)
from turnwire_server.core.hub import Hub
from turnwire_server.errors import Rejected
from turnwire_server.model.claude import Claude
from turnwire_server.model.clients import connect
from turnwire_server.parts import store_of
from turnwire_simulator import Answer, Gate, Simulator, Text

T = TypeVar("T")

MAX_QUEUED = 2
MAX_READERS = 6
STEPS_BETWEEN_STARTS = 6

indexes = st.integers(0, 10_000)
"""Of whatever there is then, by its remainder."""
busy = st.sampled_from(["reject", "queue", "interrupt"])


class Conversing(RuleBasedStateMachine):
    """One conversation. After every rule everything that had to happen has happened, so that the
    next is decided upon in a known state."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.expected = ExpectedConversation(MAX_QUEUED)
        self.gates: dict[str, list[Gate]] = {}
        self.asked = Counter[str]()
        self.conversation = ""
        self.epoch = ""
        self.watcher = Reader()
        self.readers: list[Reader] = []
        self.of_the_end: list[Reader] = []
        """Those of the readers who began with the last turns."""
        self.deaths = 0
        self.steps_since_start = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it on this machine's loop, bounded."""
        return self.runner.run(_bounded(work))

    # The world

    @initialize()
    def begin(self) -> None:
        """A service, and a conversation with a first message."""
        self.folder = Path(tempfile.mkdtemp(prefix="turnwire-"))
        self.db = self._fresh()
        self.run(self._begin())
        self.send("reject", has_key=True, retracts=False, index=0)

    def _fresh(self) -> str:
        """A database that nobody has used."""
        return str(self.folder / "0.db")

    async def _begin(self) -> None:
        self.simulator = Simulator()
        await self.simulator.__aenter__()
        self.simulator.answer_with(self._answer)
        self.model = Claude(connect(self.simulator.url, "test-key"), stall_timeout_seconds=10_000)
        self.core = self._core()
        await self.core.start()

    def _core(self) -> Hub:
        return core_on(store_of(self.db), self.model, max_queued=MAX_QUEUED)

    def _answer(self, body: dict[str, Any]) -> Answer:
        content = body["messages"][-1]["content"]
        text = content if isinstance(content, str) else content[-1]["text"]
        self.asked[text] += 1
        deltas: list[Any] = [f"{text}-0 "]
        for number, gate in enumerate(self.gates[text], 1):
            deltas += [gate, f"{text}-{number} "]
        return Answer(Text(deltas))

    async def _settle(self) -> None:
        await self.watcher.until(self._is_as_expected)

    def _is_as_expected(self, seen: Sequence[Event]) -> bool:
        done = {event.turn for event in seen if isinstance(event, Done)}
        pieces = Counter[str]()
        for event in seen:
            pieces[event.turn] += isinstance(event, Token)
        for turn in self.expected.turns:
            if (turn.place is Place.DONE) != (turn.id in done):
                return False
            if turn.place is Place.RUNNING and pieces[turn.id] != turn.opened + 1:
                return False
        return True

    # Commands

    @rule(if_busy=busy, has_key=st.booleans(), retracts=st.booleans(), index=indexes)
    def send(self, if_busy: Any, has_key: bool, retracts: bool, index: int) -> None:
        """A new message."""
        text = f"m{len(self.gates)}"
        self.gates[text] = [Gate() for _ in range(GATES)]
        turns = self.expected.turns
        send = SendBody(
            content=text,
            key=f"key of {text}" if has_key else None,
            conversation=self.conversation or None,
            if_busy=if_busy,
            retract=turns[index % len(turns)].id if retracts and turns else None,
        )
        code = self.expected.refusal(send)
        answer = self.run(self._sent(send))
        if code is not None:
            assert answer is code
            return
        assert isinstance(answer, Ack), answer
        self.expected.accept(send, answer)
        if not self.conversation:
            self.conversation, self.epoch = answer.conversation or "", answer.epoch or ""
            self.run(self.watcher.connect(self.core, self.conversation, self.epoch))

    async def _sent(self, send: SendBody) -> Ack | Code:
        try:
            accepted = await self.core.send(ANNA, send)
            await accepted.durable
        except Rejected as refused:
            return refused.code
        return accepted.ack

    @rule(if_busy=busy)
    def send_and_cancel(self, if_busy: Any) -> None:
        """A new message, which is not stored yet when its turn is stopped."""
        text = f"m{len(self.gates)}"
        self.gates[text] = []
        send = SendBody(
            content=text, key=f"key of {text}", conversation=self.conversation, if_busy=if_busy
        )
        if self.expected.refusal(send) is None:
            ack, outcome = self.run(self._sent_and_cancelled(send))
            self.expected.accept(send, ack)
            assert outcome == self.expected.cancel(self.expected.turns[-1])

    async def _sent_and_cancelled(self, send: SendBody) -> tuple[Ack, str | None]:
        accepted = await self.core.send(ANNA, send)
        cancel = Cancel(id="1", conversation=self.conversation, key=send.key)
        receipt = await self.core.submit(ANNA, cancel)
        await accepted.durable
        return accepted.ack, receipt.ack.outcome

    @rule(index=indexes, is_same=st.booleans())
    def repeat(self, index: int, is_same: bool) -> None:
        """A key comes again, with the same message or another."""
        keyed = [turn for turn in self.expected.turns if turn.send.key is not None]
        turn = keyed[index % len(keyed)]
        if is_same:
            assert self.run(self._sent(turn.send)) == turn.ack
        else:
            other = turn.send.model_copy(update={"content": "other"})
            assert self.run(self._sent(other)) is Code.KEY_REUSED

    @rule(index=indexes, by_key=st.booleans())
    def cancel(self, index: int, by_key: bool) -> None:
        """A turn is stopped, whatever it does now."""
        turn = self.expected.turns[index % len(self.expected.turns)]
        by_key = by_key and turn.send.key is not None
        which = {"key": turn.send.key} if by_key else {"turn": turn.id}
        command = Cancel(id="1", conversation=self.conversation, **which)
        ack = self.run(self.core.submit(ANNA, command)).ack
        assert (ack.turn, ack.outcome) == (turn.id, self.expected.cancel(turn))

    @rule(if_busy=st.sampled_from(["reject", "interrupt"]), index=indexes)
    def regenerate(self, if_busy: Any, index: int) -> None:
        """A new message in place of an earlier one, void or not."""
        self.send(if_busy, has_key=False, retracts=True, index=index)

    @precondition(lambda self: self.expected.running is not None)
    @rule(if_busy=st.just("queue"), has_key=st.booleans())
    def send_behind(self, if_busy: Any, has_key: bool) -> None:
        """A new message that waits, if it may."""
        self.send(if_busy, has_key=has_key, retracts=False, index=0)

    @precondition(lambda self: self.expected.running is not None)
    @rule()
    def open_gate(self) -> None:
        """The model goes on."""
        turn = self.expected.running
        assert turn is not None
        self.run(self._settle())
        self.run(self._open(self.gates[str(turn.send.content)][turn.opened]))
        self.expected.open_gate(turn)

    async def _open(self, gate: Gate) -> None:
        await gate.reached()
        gate.open()

    # Readers

    @precondition(lambda self: len(self.readers) < MAX_READERS)
    @rule(index=indexes)
    def reader_comes(self, index: int) -> None:
        """Somebody reads on from any cursor."""
        self.run(self._settle())
        reader = Reader(index % (self.watcher.cursor + 1))
        self.readers.append(reader)
        self.run(reader.connect(self.core, self.conversation, self.epoch))

    @precondition(lambda self: len(self.readers) < MAX_READERS)
    @rule(last=st.integers(1, 3))
    def reader_of_the_end_comes(self, last: int) -> None:
        """Somebody begins with the last turns."""
        reader = Reader()
        self.readers.append(reader)
        self.of_the_end.append(reader)
        self.run(reader.connect(self.core, self.conversation, self.epoch, last=last))

    @precondition(lambda self: self.readers)
    @rule(index=indexes)
    def reader_reads(self, index: int) -> None:
        """Somebody reads what there is; those who do not lag."""
        self.run(self.readers[index % len(self.readers)].drain())

    @precondition(lambda self: self.readers)
    @rule(index=indexes)
    def reader_leaves(self, index: int) -> None:
        """Somebody loses the connection."""
        self.readers[index % len(self.readers)].disconnect()

    @precondition(lambda self: self.readers)
    @rule(index=indexes)
    def reader_returns(self, index: int) -> None:
        """Somebody resumes."""
        reader = self.readers[index % len(self.readers)]
        self.run(reader.connect(self.core, self.conversation, self.epoch))

    # Restarts

    # Not more often, or nothing would grow old.
    @precondition(lambda self: self.steps_since_start >= STEPS_BETWEEN_STARTS)
    @rule(is_clean=st.booleans())
    def restart(self, is_clean: bool) -> None:
        """The process stops or dies."""
        self._restart(is_clean)

    def _restart(self, is_clean: bool) -> None:
        """Another process goes on with what is in the file."""
        self.steps_since_start = 0
        self.run(self._settle())
        for reader in (self.watcher, *self.readers):
            reader.disconnect()
        self.run(self._start_again(is_clean))
        self.expected.restart()

    async def _start_again(self, is_clean: bool) -> None:
        if is_clean:
            await self.core.close()
            self.core = self._core()
            await self.core.start()
        else:
            await self._die()
        await self.watcher.connect(self.core, self.conversation, self.epoch)

    async def _die(self) -> None:
        # The dead process' file: what it writes from here on is nobody's.
        self.deaths += 1
        db = str(self.folder / f"{self.deaths}.db")
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{self.db}{suffix}", f"{db}{suffix}")
        await self.core.close()
        self.db = db
        self.core = self._core()
        await self.core.start()

    # The oracle

    def teardown(self) -> None:
        """Everything that runs is ended; then all that anybody has seen is judged."""
        try:
            if self.conversation:
                self._restart(is_clean=True)
                self.run(self._settle())
                self._judge()
        finally:
            self.run(self._end())
            self.runner.close()
            shutil.rmtree(self.folder)

    async def _end(self) -> None:
        await self.core.close()
        await self.model.close()
        await self.simulator.__aexit__(None, None, None)

    @invariant()
    def what_is_shown_is_what_is_expected(self) -> None:
        """After every rule, once all that follows from it has happened."""
        if not self.conversation:
            return
        self.steps_since_start += 1
        self.run(self._settle())
        folded = fold(self.watcher.seen)
        visible = [turn for turn in self.expected.turns if not turn.is_void]
        assert set(folded.turns.ids) == {turn.id for turn in visible}
        for turn in visible:
            done = folded.turns[turn.id].done
            assert (done.stop_reason if done else None) == turn.stop_reason
            assert folded.turns[turn.id].text == self._text(turn)

    def _text(self, turn: ExpectedTurn) -> str:
        was_asked = bool(self.asked[str(turn.send.content)])
        return "".join(turn.pieces[: turn.opened + 1]) if was_asked else ""

    def _judge(self) -> None:
        log = self.watcher.seen
        check_log(log)
        assert all(span_of(event) == 1 for event in log), "the watcher missed nothing"
        whole = self.run(self._whole())
        assert whole == merge(log)
        for reader in self.readers:
            self.run(self._catch_up(reader))
            check_reader(reader.seen, log, after=reader.start)
            assert merge(reader.seen) == merge(log[reader.start :])
        for reader in self.of_the_end:
            check_end(reader.seen, log)
        assert set(self.asked.values()) <= {1}, "the model is asked once for each message"
        failed = StopReason.FAILED
        assert not [e for e in log if isinstance(e, Done) and e.stop_reason == failed]

    async def _whole(self) -> list[Event]:
        reader = Reader()
        await self._catch_up(reader)
        return reader.seen

    async def _catch_up(self, reader: Reader) -> None:
        await reader.connect(self.core, self.conversation, self.epoch)
        await reader.drain()


async def _bounded(work: Coroutine[Any, Any, T]) -> T:
    async with patience():
        return await work


class ConversingOnPostgres(Conversing):
    """The same, where others may have the conversation meanwhile."""

    def _fresh(self) -> str:
        return fresh_url()

    async def _die(self) -> None:
        # As if its lease had run out; it learns of that when it would write.
        connection = await asyncpg.connect(self.db)
        await connection.execute("DELETE FROM nodes")
        await connection.close()
        dead, self.core = self.core, self._core()
        await self.core.start()
        await dead.close()


_SETTINGS = settings(
    derandomize=True,
    database=None,
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    # Without shrinking: a failure is mostly a wait that does not end, and each takes its time.
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
TestConversing = Conversing.TestCase
TestConversing.settings = _SETTINGS
TestConversingOnPostgres = ConversingOnPostgres.TestCase
# Of what may happen, most is in the core. Here it is the store's part again.
TestConversingOnPostgres.settings = settings(_SETTINGS, max_examples=10)
