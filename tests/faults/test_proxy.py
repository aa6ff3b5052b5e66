"""The link breaks or stalls at every event of a turn; whoever iterates the turn notices nothing."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from tests.faults.log_readers import log_of
from tests.faults.proxy import Damage, Proxy
from tests.kit.oracle import check_log, check_reader
from tests.kit.patience import SILENCE_SECONDS, patience
from tests.kit.service import serving, turnwire_over
from turnwire import Backoff, connect
from turnwire_protocol import fold
from turnwire_server.store.sqlite import SqliteStore
from turnwire_simulator import Answer, Gate, Simulator, Text, Thinking, ToolUse
from turnwire_simulator.controls import Control

AT_ONCE = Backoff(base_seconds=0.001, cap_seconds=0.002)
HEARTBEAT_SECONDS = {Damage.RESET: 600.0, Damage.STALL: SILENCE_SECONDS}
"""Only by its silence is a stalled link known as such."""

DELTAS = ("thinking", "token", "tool_input")
EVENTS = 31
"""Of the turn below, in its log: the ack and each of them is a place where the link breaks."""

THOUGHTS = ["Let", " me", " see", "."]
BEFORE = ["I", " look", " it", " up", ":"]
INPUT = ['{"word"', ': "so', 'me"}']
AFTER = [" it", " is", " this."]


class Script:
    """Both answers of one turn; after each delta the model waits for a gate."""

    def __init__(self) -> None:
        self.gates: list[Gate] = []
        self.asked = 0
        self._first = Answer(
            Thinking(self._gated(THOUGHTS)),
            Text(self._gated(BEFORE)),
            ToolUse("look_up", {}, deltas=["", *self._gated(INPUT)]),
            stop_reason="tool_use",
        )
        self._second = Answer(Text(self._gated(AFTER)))

    def _gated(self, deltas: list[str]) -> list[str | Control]:
        gates = [Gate() for _ in deltas]
        self.gates += gates
        return [part for pair in zip(deltas, gates, strict=True) for part in pair]

    def next(self) -> Answer:
        """The answer of the next step."""
        self.asked += 1
        return self._first if self.asked == 1 else self._second

    async def play(self, proxy: Proxy, *, goes_on: bool) -> None:
        """Open each gate once the delta before it has passed, so that nothing merges;
        or all of them as soon as the link has broken."""
        for number, gate in enumerate(self.gates, 1):
            await proxy.wait(
                lambda n=number: (goes_on and proxy.lost is not None) or deltas_of(proxy) >= n  # type: ignore[misc]
            )
            gate.open()


def deltas_of(proxy: Proxy) -> int:
    """How many different deltas have passed."""
    return len({message["seq"] for message in proxy.passed if message["type"] in DELTAS})


def is_place(message: dict[str, Any], place: int) -> bool:
    """Whether the message is that event; place 0 is the ack of the send."""
    return (
        message["type"] == "ack"
        if place == 0
        else message.get("seq") == place and (message["type"] != "ack")
    )


@pytest.mark.parametrize("goes_on", [False, True], ids=["turn-waits", "turn-goes-on"])
@pytest.mark.parametrize("damage", Damage)
async def test_a_link_lost_at_any_event_is_not_noticed_by_who_iterates_the_turn(
    damage: Damage, goes_on: bool, tmp_path: Any
) -> None:
    scripts = {f"turn {place}": Script() for place in range(EVENTS + 1)}
    looked_up = Counter[str]()

    def look_up(word: str) -> str:
        """Look a word up.

        Args:
            word: What to look up.
        """
        looked_up[word] += 1
        return "found"

    def answer(body: dict[str, Any]) -> Answer:
        return scripts[text_of(body["messages"][0])].next()

    async def break_at(place: int) -> None:
        message = f"turn {place}"
        script = scripts[message]
        async with (
            Proxy(address, damage=damage, at=lambda sent: is_place(sent, place)) as proxy,
            connect(proxy.url, backoff=AT_ONCE) as wire,
        ):
            playing = asyncio.create_task(script.play(proxy, goes_on=goes_on))
            chat = wire.conversation()
            turn = await chat.send(message)
            events = [event async for event in turn]
            reply = await turn
            await playing
            assert proxy.lost is not None, place
            # A client that waits for a pong may give up a link that is only slow.
            assert proxy.connections == 2 or (damage is Damage.STALL and proxy.connections > 2)
            state = chat.state.to_dict()
        assert reply.text == "".join(BEFORE + AFTER)
        log = await log_of(address, turn.conversation)
        check_log(log)
        check_reader(events, log)
        assert events[-1].seq == log[-1].seq == EVENTS
        assert state == fold(log).to_dict()
        assert script.asked == 2, "the model is called once for each step"

    async with Simulator() as simulator:
        simulator.answer_with(answer)
        turnwire = turnwire_over(
            simulator,
            store=SqliteStore(tmp_path / "chat.db"),
            tools=[look_up],
            limits={"heartbeat_seconds": HEARTBEAT_SECONDS[damage]},
        )
        async with (
            serving(turnwire) as address,
            patience(),
            asyncio.TaskGroup() as group,
        ):
            for place in range(EVENTS + 1):
                group.create_task(break_at(place))
    assert looked_up == {"some": EVENTS + 1}


def text_of(message: dict[str, Any]) -> str:
    """The text of a user's message in a request to the model."""
    content = message["content"]
    return content if isinstance(content, str) else str(content[0]["text"])
