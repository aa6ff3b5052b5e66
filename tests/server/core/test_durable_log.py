"""The durable log: what it keeps in memory of what is stored."""

import asyncio

import pytest

from tests.kit.fence import fence_of
from tests.kit.patience import patience
from turnwire_protocol import BlockStop, Code, Token
from turnwire_server.core.log.committer import Committer
from turnwire_server.core.log.durable_log import DurableLog
from turnwire_server.errors import Rejected
from turnwire_server.store.memory import MemoryStore
from turnwire_server.store.port import Batch


class Idle:
    """The owner of a log in which nothing runs."""

    is_open = False

    def on_wait(self, *, has_failed: bool) -> None:
        raise AssertionError("the store works")

    def on_lost(self) -> None:
        raise AssertionError("nobody else writes here")

    def on_followers(self) -> None:
        """Nobody is missed."""


IDLE = Idle()


async def log_of(
    tokens: int,
    *,
    keep_bytes: int = 1000,
    keep_frames: int = 8,
    is_released: bool = True,
    is_read: bool = True,
) -> DurableLog:
    """A log with so many durable deltas of a kilobyte, each in a block of its own."""
    store = MemoryStore()
    committer = Committer(store)
    log = DurableLog(
        "c_1",
        store,
        committer,
        IDLE,
        keep_bytes=keep_bytes,
        keep_frames=keep_frames,
    )
    log.hold(await fence_of(store, "c_1", "ann", "e_1"))
    for block in range(tokens):
        log.append_delta(Token, "t_1", block, "x" * 1000, tool_id=None)
    if is_released:
        log.release()
    if is_read:
        log.follow(0, None, lambda: None)
    committer.start()
    async with patience():
        await log.durable(tokens)
        await committer.close()
    return log


class CountingStore(MemoryStore):
    """Keeps how far each commit led."""

    def __init__(self) -> None:
        super().__init__()
        self.commits: list[int] = []

    async def append(self, batches: list[Batch]) -> None:
        self.commits.append(batches[-1].last_seq)
        await super().append(batches)


async def test_where_commits_are_dear_tokens_gather_and_nothing_else_waits() -> None:
    store = CountingStore()
    committer = Committer(store, interval_seconds=10_000.0)
    log = DurableLog("c_1", store, committer, IDLE)
    log.hold(await fence_of(store, "c_1", "ann", "e_1"))
    committer.start()

    def say(block: int, text: str) -> None:
        log.append_delta(Token, "t_1", block, text, tool_id=None)

    async with patience():
        log.append(BlockStop(**log.place("t_1"), block=0), None)
        await log.all_durable()
        say(1, "The first token ")
        await log.all_durable()
        for _ in range(3):
            say(1, "and more ")
            for _ in range(10):
                await asyncio.sleep(0)
        log.append(BlockStop(**log.place("t_1"), block=1), None)
        await log.all_durable()
        say(2, "The first of another block ")
        await log.all_durable()
        say(2, "and what is stored at the end")
        await committer.close()
    assert store.commits == [1, 2, 6, 7, 8]


async def test_readers_at_the_same_place_share_one_encoding() -> None:
    log = await log_of(4, keep_bytes=10_000)
    assert await log.readers.frames(1, max_bytes=10_000) is await log.readers.frames(
        1, max_bytes=10_000
    )


async def test_the_encoding_is_kept_for_so_many_places_and_no_more() -> None:
    log = await log_of(4, keep_bytes=10_000, keep_frames=2)
    first = await log.readers.frames(1, max_bytes=10_000)
    for after in (2, 3):
        await log.readers.frames(after, max_bytes=10_000)
    again = await log.readers.frames(1, max_bytes=10_000)
    assert again is not first
    assert [frame.text for frame in again] == [frame.text for frame in first]


async def test_what_no_turn_needs_any_more_is_kept_in_memory_only_up_to_a_bound() -> None:
    log = await log_of(8, keep_bytes=3000)
    assert (log.memory.floor, log.memory.head) == (5, 8)


async def test_what_the_running_turn_still_needs_stays_in_memory() -> None:
    log = await log_of(8, keep_bytes=3000, is_released=False)
    assert log.memory.floor == 0


async def test_a_reader_far_behind_reads_on_from_the_store_into_what_is_in_memory() -> None:
    log = await log_of(8, keep_bytes=3000)
    follower = log.follow(0, None, lambda: None)
    seqs: list[int] = []
    while frames := await follower.read(max_bytes=2000):
        seqs += (frame.seq for frame in frames)
    assert seqs == [*range(1, 9)]


async def test_a_reader_right_before_what_is_in_memory_misses_nothing() -> None:
    log = await log_of(8, keep_bytes=3000)
    assert log.memory.floor == 5
    firsts = [(await log.readers.frames(after, max_bytes=9000))[0].seq for after in (4, 5)]
    assert firsts == [5, 6]


async def test_what_nobody_reads_is_not_kept_and_can_be_read_nevertheless() -> None:
    log = await log_of(4, keep_bytes=10_000, is_read=False)
    assert (log.memory.floor, log.weight) == (4, 4000)
    assert [frame.seq for frame in await log.readers.frames(1, max_bytes=10_000)] == [2, 3, 4]


async def test_when_the_last_reader_has_gone_nothing_is_kept_any_more() -> None:
    log = await log_of(4, keep_bytes=10_000)
    another = log.follow(0, None, lambda: None)
    (first,) = log.readers._followers - {another}
    first.close()
    assert log.memory.floor == 0
    another.close()
    assert log.memory.floor == 4


async def test_what_was_encoded_for_a_commit_is_kept_until_the_next_one() -> None:
    log = await appended(owner := Told(), 0)
    follower = log.follow(0, None, owner.on_followers)
    for seq in range(1, 20):
        append(log)
        assert log.unstored() is not None
        log.stored(seq)
        assert [frame.seq for frame in await follower.read()] == [seq]
    assert len(log.readers._frames) == 1


async def test_a_log_that_is_closed_has_no_readers_any_more() -> None:
    log = await appended(owner := Told(), 1)
    follower = log.follow(0, None, owner.on_followers)
    log.close(Code.UNKNOWN_CONVERSATION)
    assert follower.closed is not None
    assert (follower.closed.code, log.has_followers) == ("unknown_conversation", False)


@pytest.mark.parametrize("is_shared", [True, False])
async def test_the_event_of_a_frame_stays_what_its_text_says_while_the_log_goes_on(
    is_shared: bool,
) -> None:
    store = MemoryStore()
    log = DurableLog("c_1", store, Committer(store), IDLE)
    log.hold(await fence_of(store, "c_1", "ann", "e_1"))
    log.append_delta(Token, "t_1", 0, "one ", tool_id=None)
    log.append_delta(Token, "t_1", 0, "two ", tool_id=None)
    assert log.unstored() is not None
    log.stored(2)
    if not is_shared:
        log.readers.forget_frames()
    (frame,) = await log.follow(0, None, lambda: None).read()
    log.append_delta(Token, "t_1", 0, "three", tool_id=None)
    assert isinstance(frame.event, Token)
    assert (frame.event.text, frame.event.seq) == ("one two ", 2)


class Told(Idle):
    """An owner who is told that the log is lost."""

    is_lost = False

    def on_lost(self) -> None:
        self.is_lost = True


async def appended(owner: Told, events: int) -> DurableLog:
    """A log whose events are on their way into a store that may have taken them."""
    store = MemoryStore()
    log = DurableLog("c_1", store, Committer(store), owner)
    log.hold(await fence_of(store, "c_1", "ann", "e_1"))
    append(log, events)
    assert (log.unstored() is not None) == (events > 0)
    return log


def append(log: DurableLog, events: int = 1) -> None:
    for _ in range(events):
        log.append(BlockStop(**log.place("t_1"), block=0), None)


REFUSED = Rejected(Code.STORAGE_UNAVAILABLE, "it cannot be stored now")


async def test_what_is_stored_though_it_was_taken_back_never_passes_for_what_came_instead() -> None:
    owner = Told()
    log = await appended(owner, 1)
    log.withdraw(0, REFUSED)
    append(log)
    log.reconcile(1)
    assert (owner.is_lost, log.end) == (True, 0)


async def test_of_what_is_taken_back_twice_the_first_counts() -> None:
    owner = Told()
    log = await appended(owner, 1)
    log.withdraw(0, REFUSED)
    append(log, 2)
    log.withdraw(1, REFUSED)
    log.reconcile(1)
    assert (owner.is_lost, log.end) == (True, 0)


async def test_what_somebody_else_has_stored_behind_its_end_is_not_taken_for_its_own() -> None:
    owner = Told()
    log = await appended(owner, 1)
    log.reconcile(2)
    assert (owner.is_lost, log.end) == (True, 0)


async def test_a_commit_that_failed_and_took_effect_is_a_commit() -> None:
    owner = Told()
    log = await appended(owner, 2)
    log.reconcile(2)
    assert (owner.is_lost, log.end, log.is_stored) == (False, 2, True)


@pytest.mark.parametrize("is_committed", [False, True])
async def test_what_was_taken_back_is_in_doubt_until_a_commit_or_a_look_at_the_store(
    is_committed: bool,
) -> None:
    log = await appended(owner := Told(), 1)
    log.withdraw(0, REFUSED)
    assert not log.is_stored
    if is_committed:
        append(log)
        log.stored(1)
    else:
        log.reconcile(0)
    assert (owner.is_lost, log.is_stored) == (False, True)


async def test_what_nobody_waits_for_any_more_and_is_taken_back_is_no_complaint_of_asyncios(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = await appended(Told(), 1)
    log.all_durable()
    log.withdraw(0, REFUSED)
    assert caplog.records == []
