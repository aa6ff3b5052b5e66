"""The transcripts of PROTOCOL.md, played against both clients by a server that sends its lines."""

import asyncio
import json

import pytest

from tests.kit.patience import patience
from tests.kit.scripted_server import Peer, ScriptedServer
from tests.protocol.players import PLAYERS, Player
from tests.protocol.transcripts import TRANSCRIPTS, Line, Message, Remark, Transcript
from turnwire_protocol import Event, fold, parse_command, parse_event, span_of

CONVERSATION = "c_1"
CHOSEN = ("id", "key", "runner")
"""What the client makes up: a transcript's values stand for the client's."""


class Stage:
    """One transcript, one client, and the server between them."""

    def __init__(self, transcript: Transcript, player: Player, server: ScriptedServer) -> None:
        self._transcript = transcript
        self._player = player
        self._server = server
        self._tab = 0
        self._opening: asyncio.Task[None]
        self._peer: Peer | None = None
        self._names: dict[tuple[str, str], str] = {}
        """(field, the transcript's value): the client's. Ids are those of one connection."""
        self._acting: dict[str, asyncio.Task[Message]] = {}
        """What the user does, by the id of its command in the transcript."""
        self._sends: dict[str, asyncio.Task[Message]] = {}
        self.told: list[Event] = []
        """The log as far as it was sent."""

    async def play(self) -> None:
        await self._enter()
        if self._transcript.lines[0].type != "welcome":
            await self.peer.send(self._server.welcome)
            await self._opening
            await self._catch_up()
        for step in self._transcript.steps:
            if isinstance(step, Remark):
                await self._besides(step)
            elif step.is_from_client:
                await self._expect(step)
            else:
                await self._tell(step)

    @property
    def peer(self) -> Peer:
        assert self._peer is not None
        return self._peer

    async def _enter(self) -> None:
        is_new = self._transcript.lines[0].type == "welcome"
        conversation = None if is_new else CONVERSATION
        opening = self._player.open(self._tab, self._server.url, conversation)
        self._opening = asyncio.create_task(opening)
        self._peer = await self._server.peer()

    async def _catch_up(self) -> None:
        """What was before the transcript, as one event of a type that no client knows."""
        first = self._transcript.events[0]
        before = first.seq - span_of(first)
        await self._player.follow(self._tab)
        command = await self.peer.receive("subscribe")
        await self.peer.ack(command, head=before, epoch="e1", after=0)
        earlier = {"type": "earlier", "conversation": CONVERSATION, "turn": "t_0"}
        await self._send_event({**earlier, "seq": before, "span": before})

    async def _besides(self, remark: Remark) -> None:
        if remark.loses_the_connection:
            self.peer.drop()
            self._peer = await self._server.peer()
        if remark.is_in_another_tab:
            self._tab += 1
            await self._enter()
            await self.peer.send(self._server.welcome)
            await self._opening
        if remark.loses_the_connection or remark.is_in_another_tab:
            self._names = {name: own for name, own in self._names.items() if name[0] != "id"}

    async def _expect(self, line: Line) -> None:
        command, key = line.message, line.message.get("key")
        if key is not None and key in self._sends:
            # Not the user's doing: the client repeats what has no reply yet.
            self._acting[command["id"]] = self._sends[key]
        elif command["type"] not in ("subscribe", "unsubscribe", "ping", "hello"):
            if self.told and self._tab == 0:
                await self._player.turns(self._tab, self.told[-1].seq)
            acting = asyncio.create_task(self._player.act(self._tab, command))
            self._acting[command["id"]] = acting
            if key is not None:
                self._sends[key] = acting
        received = await self.peer.receive(command["type"])
        for name in CHOSEN:
            if name in command:
                own = self._names.setdefault((name, command[name]), received[name])
                assert received[name] == own
            elif name == "runner":
                received.pop(name, None)
        assert meaning(received) == meaning(self._as_the_client_names_it(command))

    async def _tell(self, line: Line) -> None:
        message = self._as_the_client_names_it(line.message)
        if line.event is not None:
            await self._send_event(message)
            return
        await self.peer.send(message)
        if line.type == "welcome":
            await self._opening
        if acting := self._acting.pop(line.message.get("id", ""), None):
            told = {name: message[name] for name in ("turn", "outcome", "code") if name in message}
            assert await acting == told

    async def _send_event(self, message: Message) -> None:
        self.told.append(parse_event(message))
        await self.peer.send(message)

    def _as_the_client_names_it(self, message: Message) -> Message:
        return {
            name: self._names.get((name, value), value) if name in CHOSEN else value
            for name, value in message.items()
        }


def meaning(command: Message) -> Message:
    """A command with its defaults: what is left out says the same."""
    return parse_command(json.dumps(command)).model_dump(exclude_none=True)


@pytest.mark.parametrize("client", PLAYERS)
@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda transcript: transcript.name)
async def test_a_client_plays_the_transcript(transcript: Transcript, client: str) -> None:
    async with (
        patience(),
        ScriptedServer(welcome=False) as server,
        PLAYERS[client]() as player,
    ):
        stage = Stage(transcript, player, server)
        await stage.play()
        turns = await player.turns(0, stage.told[-1].seq)
    assert turns == fold(stage.told).to_dict()["turns"]
