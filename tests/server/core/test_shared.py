"""Cores of several nodes on one store: one of them writes at a time, all read the same."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from tests.kit.core import ANNA, HeldModel, Reader, core_on
from tests.kit.oracle import check_log
from tests.kit.patience import patience
from tests.kit.shared_store import SharedStore
from tests.server.core.test_hub import ended, follow, sent, stepped
from turnwire_protocol import Ack, Cancel, ClientTool, Code, Done, Message, SendBody, StopReason
from turnwire_server.core.hub import Hub
from turnwire_server.core.past import PastTurn
from turnwire_server.errors import Rejected, StoreError
from turnwire_server.model.port import BlockEnd, Part, Stop, ToolPart
from turnwire_server.store.nodes import LocalNodes, Watcher
from turnwire_server.store.port import Fence


class Node:
    """A core on a store that others share."""

    def __init__(self, store: SharedStore, model: HeldModel, **limits: int) -> None:
        self.store = store
        self.model = model
        self.core = core_on(store, model, **limits)


@asynccontextmanager
async def nodes(
    *, is_held: bool = False, model: type[HeldModel] = HeldModel, **limits: int
) -> AsyncIterator[tuple[Node, Node]]:
    """Two nodes that run; with `is_held` a model answers once the test releases it."""
    a = SharedStore("a")
    pair = Node(a, model(), **limits), Node(SharedStore("b", a), model(), **limits)
    async with patience():
        for node in pair:
            if not is_held:
                node.model.released.set()
            await node.core.start()
        try:
            yield pair
        finally:
            for node in pair:
                await node.core.close()


async def refusal(asking: object) -> Rejected:
    """How it was refused."""
    with pytest.raises(Rejected) as refused:
        await asking  # type: ignore[misc]
    return refused.value


async def log_at(core: Hub, ack: Ack) -> Reader:
    """All there is to read on this node."""
    reader = Reader()
    await reader.connect(core, ack.conversation or "", ack.epoch or "")
    await reader.drain()
    reader.disconnect()
    return reader


async def released(node: Node, ack: Ack) -> None:
    """Nobody holds the conversation any more, and that without a look at what is idle."""
    await stepped(10)
    assert node.store.holder(ack.conversation or "") is None


async def test_the_right_to_append_goes_back_with_the_end_of_the_turn_to_whoever_is_next() -> None:
    async with nodes() as (a, b):
        first = await sent(a.core, "one")
        await ended(a.core, first)
        await released(a, first)
        acks = [first]
        for node in (b, b, a, b):
            ack = await sent(node.core, "more", conversation=first.conversation)
            assert (await ended(node.core, ack)).stop_reason == StopReason.END_TURN
            await released(node, ack)
            acks.append(ack)
        read = [await log_at(node.core, first) for node in (a, b)]
        assert read[0].seen == read[1].seen
        check_log(read[0].seen)
        assert [e.turn for e in read[0].seen if isinstance(e, Done)] == [ack.turn for ack in acks]
        assert len(b.model.requests[-1].messages) == 9, "it was shown what the other node has said"


async def test_the_same_key_at_two_nodes_at_once_begins_one_turn() -> None:
    async with nodes(is_held=True) as (a, b):
        asked = [asyncio.create_task(sent(node.core, key="k-1")) for node in (a, b)]
        results = await asyncio.gather(*asked, return_exceptions=True)
        (ack,) = [result for result in results if isinstance(result, Ack)]
        (refused,) = [result for result in results if isinstance(result, Rejected)]
        assert (refused.code, refused.retryable) == (Code.STORAGE_UNAVAILABLE, True)
        winner, loser = (a, b) if isinstance(results[0], Ack) else (b, a)
        winner.model.released.set()
        await ended(winner.core, ack)
        await released(winner, ack)
        again = await sent(loser.core, key="k-1")
        assert (again.turn, again.seq, again.epoch) == (ack.turn, ack.seq, ack.epoch)
        assert len(a.model.requests + b.model.requests) == 1
        await released(loser, ack)


async def test_a_cursor_from_another_node_is_good_here_however_far_this_copy_is_behind() -> None:
    async with nodes() as (a, b):
        first = await sent(a.core, "one")
        end = await ended(a.core, first)
        follower = await follow(b.core, first.conversation or "", after=end.seq)
        assert (follower.reset, follower.is_behind) == (None, False)
        second = await sent(a.core, "two", conversation=first.conversation)
        end = await ended(a.core, second)
        again = await follow(b.core, first.conversation or "", after=end.seq)
        assert again.reset is None
        assert follower.is_behind, "others here see what was found then"
        assert [e.seq for e in await follower.events()][-1] == end.seq
        beyond = await follow(b.core, first.conversation or "", after=end.seq + 1)
        assert beyond.reset is not None


async def test_a_turn_that_runs_on_another_node_can_be_read_here_and_is_not_ended() -> None:
    async with nodes(is_held=True) as (a, b):
        ack = await sent(a.core)
        await a.model.asked.wait()
        assert [event.type for event in (await log_at(b.core, ack)).seen][:2] == [
            "message",
            "start",
        ]
        refused = await refusal(sent(b.core, "Again", conversation=ack.conversation))
        assert (refused.code, refused.retryable) == (Code.STORAGE_UNAVAILABLE, True)
        a.model.released.set()
        assert (await ended(a.core, ack)).stop_reason == StopReason.END_TURN
        check_log((await log_at(b.core, ack)).seen)


async def test_a_turn_that_ended_elsewhere_is_over_here_too() -> None:
    async with nodes() as (a, b):
        ack = await sent(a.core)
        await follow(b.core, ack.conversation or "")
        await ended(a.core, ack)
        cancel = Cancel(id="1", conversation=ack.conversation or "", turn=ack.turn)
        assert (await b.core.submit(ANNA, cancel)).ack.outcome == "already_done"


async def test_who_loses_the_right_before_the_append_has_stored_nothing_and_says_so() -> None:
    async with nodes() as (a, b):
        first = await sent(a.core, "one")
        await ended(a.core, first)
        await released(a, first)
        taken: list[Ack] = []

        async def taken_over() -> None:
            b.store.declare_dead()
            taken.append(await sent(a.core, "taken", conversation=first.conversation))

        b.store.before_append = taken_over
        refused = await refusal(sent(b.core, "lost", conversation=first.conversation))
        assert (refused.code, refused.retryable) == (Code.STORAGE_UNAVAILABLE, True)
        await ended(a.core, taken[0])
        assert b.model.requests == []
        log = (await log_at(b.core, first)).seen
        check_log(log)
        assert [event.turn for event in log if event.type == "message"] == [
            first.turn,
            taken[0].turn,
        ]


async def test_the_turn_of_a_dead_node_is_ended_once_and_what_it_still_says_is_not_read() -> None:
    async with nodes(is_held=True) as (a, b):
        ack = await sent(a.core)
        await a.model.asked.wait()
        reader = await follow(a.core, ack.conversation or "")
        while await reader.read():
            pass
        a.store.declare_dead()
        ends = await asyncio.gather(*(ended(b.core, ack) for _ in range(3)))
        assert [end.stop_reason for end in ends] == [StopReason.INTERRUPTED] * 3
        await released(b, ack)
        a.model.released.set()
        while reader.closed is None:
            await stepped(1)
        assert (reader.closed.code, reader.closed.retryable) == (Code.STORAGE_UNAVAILABLE, True)
        check_log((await log_at(b.core, ack)).seen)


async def test_what_its_holder_deletes_is_gone_on_all_nodes_and_others_cannot() -> None:
    async with nodes(is_held=True) as (a, b):
        ack = await sent(a.core, key="k-1")
        conversation = ack.conversation or ""
        follower = await follow(b.core, conversation)
        assert (await refusal(b.core.delete(ANNA, conversation))).retryable
        await a.core.delete(ANNA, conversation)
        refused = await refusal(follow(b.core, conversation))
        assert refused.code is Code.UNKNOWN_CONVERSATION
        assert follower.closed is not None
        assert follower.closed.code == Code.UNKNOWN_CONVERSATION


async def test_what_was_deleted_and_begun_anew_is_another_log_here_too() -> None:
    async with nodes() as (a, b):
        old = await sent(a.core, key="k-1")
        end = await ended(a.core, old)
        await released(a, old)
        follower = await follow(b.core, old.conversation or "", after=end.seq)
        await a.core.delete(ANNA, old.conversation or "")
        new = await sent(a.core, key="k-1")
        await ended(a.core, new)
        await released(a, new)
        third = await sent(b.core, "more", conversation=old.conversation)
        assert (third.epoch, third.epoch != old.epoch) == (new.epoch, True)
        assert follower.closed is not None


async def test_who_was_refused_keeps_nobody_else_from_it() -> None:
    async with nodes() as (a, b):
        ack = await sent(a.core)
        await ended(a.core, ack)
        await released(a, ack)
        refused = await refusal(
            b.core.send(ANNA, SendBody(content="x", conversation=ack.conversation, retract="t_0"))
        )
        assert refused.code is Code.UNKNOWN_TURN
        await released(b, ack)
        await sent(a.core, "Again", conversation=ack.conversation)


async def test_what_was_claimed_and_could_not_be_read_on_keeps_nobody_else_from_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with nodes() as (a, b):
        ack = await sent(a.core)
        await ended(a.core, ack)
        await released(a, ack)

        async def readers(conversation: str) -> list[str]:
            raise StoreError("the connection is lost")

        monkeypatch.setattr(b.store.nodes, "readers", readers)
        refused = await refusal(sent(b.core, "lost", conversation=ack.conversation))
        assert refused.code is Code.STORAGE_UNAVAILABLE
        await released(b, ack)
        monkeypatch.undo()
        await sent(a.core, "Again", conversation=ack.conversation)


async def test_a_claim_does_not_overtake_what_is_on_its_way_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with nodes(is_held=True) as (a, b):
        a.model.released.set()
        first = await sent(a.core)
        await ended(a.core, first)
        await released(a, first)
        release, asked, goes_on = b.store.release, asyncio.Event(), asyncio.Event()

        async def held(fence: Fence) -> None:
            asked.set()
            await goes_on.wait()
            await release(fence)

        monkeypatch.setattr(b.store, "release", held)
        await refusal(sent(b.core, conversation=first.conversation, retract="t_0"))
        await asked.wait()
        sending = asyncio.create_task(sent(b.core, "Again", conversation=first.conversation))
        await stepped(10)
        goes_on.set()
        ack = await sending
        await stepped(10)
        b.model.released.set()
        assert (await ended(b.core, ack)).stop_reason == StopReason.END_TURN


async def test_a_message_behind_the_end_that_is_being_stored_claims_the_log_again() -> None:
    async with nodes(is_held=True) as (a, _):
        first = await sent(a.core)
        conversation = first.conversation or ""
        reader = Reader()
        await reader.connect(a.core, conversation, first.epoch or "")
        await reader.until(lambda seen: any(event.type == "start" for event in seen))
        asking: list[asyncio.Task[Ack]] = []

        async def another() -> None:
            asking.append(asyncio.create_task(sent(a.core, "Again", conversation=conversation)))
            await stepped(10)

        a.store.before_append = another
        a.model.released.set()
        await reader.until(lambda seen: any(isinstance(event, Done) for event in seen))
        second = await asking[0]
        assert (await ended(a.core, second)).stop_reason == StopReason.END_TURN
        await reader.drain()
        check_log(reader.seen)


async def test_turns_on_other_nodes_count_for_the_bound_on_running_turns() -> None:
    async with nodes(is_held=True, max_running_turns=2) as (a, b):
        for node in (a, b):
            await sent(node.core)
            await node.model.asked.wait()
        for node in (a, b):
            refused = await refusal(sent(node.core, "one too many"))
            assert refused.code is Code.TOO_MANY
        a.model.released.set()
        while await a.store.count_open(ANNA) == 2:
            await stepped(1)
        await sent(b.core, "one more")


class CallingModel(HeldModel):
    """Asks for a tool that runs in a client."""

    async def _answer(self) -> AsyncIterator[list[Part]]:
        yield [ToolPart(0, "toolu_1", "title", "server"), BlockEnd(0, None), Stop("tool_use")]


async def test_a_turn_that_rests_elsewhere_rests_here() -> None:
    async with nodes(model=CallingModel) as (a, b):
        tool = ClientTool(name="title", description="Its title.", input_schema={"type": "object"})
        ack = await sent(a.core, client_tools=[tool], runner="r_1")
        conversation = ack.conversation or ""
        reader = Reader()
        await reader.connect(a.core, conversation, ack.epoch or "")
        await reader.until(lambda seen: any(event.type == "tool_executing" for event in seen))
        assert await b.core.is_resting(ANNA, conversation)
        await a.core.submit(ANNA, Cancel(id="1", conversation=conversation, turn=ack.turn))
        await ended(a.core, ack)
        assert not await b.core.is_resting(ANNA, conversation)


async def test_hidden_conversations_have_one_who_looks_after_them_however_often_orphans_are_sought(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("turnwire_server.core.orphans._LOOK_SECONDS", 0.0)
    async with nodes():
        await stepped(50)
        names = [task.get_name() for task in asyncio.all_tasks()]
        assert (names.count("orphans"), names.count("hidden")) == (2, 2)


class Post(LocalNodes):
    """Carries errands within this process."""

    def __init__(self) -> None:
        self.watcher: Watcher | None = None
        self.beside: Post | None = None

    async def start(self, watcher: Watcher, alike: Mapping[str, str]) -> None:
        self.watcher = watcher

    async def ask(self, holder: str, errand: str) -> str:
        assert self.beside is not None
        assert self.beside.watcher is not None
        return await self.beside.watcher.on_errand(errand)


async def test_what_was_said_elsewhere_before_goes_with_a_message_to_another_node() -> None:
    a = SharedStore("a")
    b = SharedStore("b", a)
    a.nodes, b.nodes = to_a, to_b = Post(), Post()
    to_b.beside = to_a
    model = HeldModel()
    model.released.set()
    async with patience():
        holder, asker = core_on(a, model), core_on(b, model)
        await holder.start()
        await asker.start()
        # As a holder has it whose own message was just refused: nothing has begun.
        id = await asker.named(ANNA, "chat")
        await a.claim(id, ANNA, "e_1")
        past = [PastTurn("1?", None, "One.")]
        accepted = await asker.send(ANNA, SendBody(content="2?"), name="chat", past=past)
        reader = await log_at(holder, accepted.ack)
        assert [e.content for e in reader.seen if isinstance(e, Message)] == ["1?", "2?"]
        await asker.close()
        await holder.close()


async def test_what_is_imported_on_one_node_goes_on_at_another() -> None:
    async with nodes() as (a, b):
        id = await a.core.begin(ANNA, [PastTurn("one", answer="1"), PastTurn("two", answer="2")])
        await stepped(10)
        assert a.store.holder(id) is None
        ack = await sent(b.core, "three", conversation=id)
        assert (await ended(b.core, ack)).stop_reason == StopReason.END_TURN
        for node in (a, b):
            log = await log_at(node.core, ack)
            check_log(log.seen)
            contents = [event.content for event in log.seen if isinstance(event, Message)]
            assert contents == ["one", "two", "three"]
        shown = [message["content"] for message in b.model.requests[0].messages]
        assert [text if isinstance(text, str) else text[0]["text"] for text in shown] == [
            "one",
            "1",
            "two",
            "2",
            "three",
        ]
