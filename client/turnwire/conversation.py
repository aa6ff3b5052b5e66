"""A conversation as the caller holds it: send, follow, look at its state."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any, Literal

from pydantic import ValidationError

from turnwire.catalogue import Catalogue, ExportFormat
from turnwire.errors import BadArgument, BadPosition, BadServer
from turnwire.output import OutputType
from turnwire.replica import Replica
from turnwire.reply import OutputT
from turnwire.runner import Runner
from turnwire.session import Session
from turnwire.turn import CancelOutcome, Turn
from turnwire_protocol import (
    Ack,
    Cancel,
    ClientTool,
    Content,
    ContentBlock,
    Decide,
    Effort,
    Event,
    OutputFormat,
    Reset,
    Send,
    Subscribe,
    ThinkingOption,
    ToolChoice,
    ToolOutput,
    first_problem,
)
from turnwire_protocol import FoldedConversation as State

__all__ = ["Conversation"]


class Conversation:
    """One conversation on one wire; without an id, a new one from its first `send` on."""

    def __init__(
        self,
        session: Session,
        runner: Runner,
        conversation: str | None,
        *,
        catalogue: Catalogue,
        on_born: Callable[["Conversation"], None],
    ) -> None:
        self._session = session
        self._runner = runner
        self._id = conversation
        self._catalogue = catalogue
        self._on_born = on_born
        self._birth = asyncio.Lock()
        self._replica: Replica | None = None

    @property
    def id(self) -> str | None:
        """The id; None until the first `send` of a new conversation is acked."""
        return self._id

    @property
    def epoch(self) -> str | None:
        """Which log `state.seq` counts in; a program that resumes later must keep both."""
        return self._replica.cursor.epoch if self._replica else None

    @property
    def state(self) -> State:
        """The turns as they stand. Live while a turn of ours runs or somebody follows; otherwise
        as it was then, and empty before that: `load` reads what there is. Do not change it; after a
        reset it is another object."""
        return self._replica.state if self._replica else State()

    async def send(
        self,
        content: str | Sequence[ContentBlock],
        *,
        model: str | None = None,
        system: str | None = None,
        max_tokens: int | None = None,
        thinking: ThinkingOption | Mapping[str, Any] | None = None,
        effort: Effort | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        stop_sequences: Sequence[str] | None = None,
        tool_choice: ToolChoice | Mapping[str, Any] | None = None,
        output_format: type[OutputT] | OutputFormat | Mapping[str, Any] | None = None,
        tools: Sequence[str] | None = None,
        client_tools: Sequence[ClientTool | Mapping[str, Any]] = (),
        if_busy: Literal["reject", "queue", "interrupt"] | None = None,
        retract: str | None = None,
        on_detach: Literal["continue", "cancel"] | None = None,
        trace: str | None = None,
        key: str | None = None,
    ) -> Turn[OutputT]:
        """Send a message; returns once the server has stored it (PROTOCOL.md `send`).

        A lost connection is healed and the same `key` sent again: one effect, however often.
        Cancelling the call leaves open whether the message was taken.

        Besides the wire's own tools the model may call `client_tools`, `{name, description,
        input_schema}` each: such a call (`tool_executing` with our `runner`) waits for
        `tool_output`.

        `trace`, a `traceparent`, makes the turn's spans part of that trace.

        With `output_format`, a pydantic model or another type of which there is a JSON schema, the
        reply's `output` is one; with `{"type": "json_schema", "schema": …}` it is as JSON has it.

        Raises:
            Rejected: the server does not take it (`busy`, `too_many`, `invalid_request`, …).
            BadArgument: an argument no server would accept.
            BadPosition: `key` is that of an old message, before where this is followed from.
            ConnectionLost, ConnectionRefused, BadServer, WireClosed: the connection ended for good.
        """
        output: OutputType[OutputT] = OutputType.of(output_format)
        options: dict[str, object] = {
            "content": content if isinstance(content, str) else list(content),
            "key": key if key is not None else secrets.token_urlsafe(16),
            "model": model,
            "system": system,
            "max_tokens": max_tokens,
            "thinking": dict(thinking) if isinstance(thinking, Mapping) else thinking,
            "effort": effort,
            "temperature": temperature,
            "top_p": top_p,
            "top_k": top_k,
            "stop_sequences": None if stop_sequences is None else list(stop_sequences),
            "tool_choice": dict(tool_choice) if isinstance(tool_choice, Mapping) else tool_choice,
            "output_format": output.format,
            "tools": None if tools is None else list(tools),
            "if_busy": if_busy,
            "retract": retract,
            "on_detach": on_detach,
            "trace": trace,
            "runner": self._runner.id,
        }
        more = [tool if isinstance(tool, ClientTool) else dict(tool) for tool in client_tools]
        if offers := [*self._runner.offers, *more]:
            options["client_tools"] = offers
        present = {name: value for name, value in options.items() if value is not None}
        if self._id is None:
            # Two first messages at once would make two conversations.
            async with self._birth:
                return await self._send(present, output)
        return await self._send(present, output)

    async def regenerate(self, turn: str) -> Turn:
        """Ask again what the turn asked; it and all after it become void, for every reader.

        The turn must be in `state`: sent or followed here.

        Raises:
            BadArgument: it is not.
            All that `send` raises; `unknown_turn` if the turn is void already.
        """
        asked = self.state.turns.get(turn)
        if asked is None or asked.content is None:
            raise BadArgument(f"regenerate: {turn} is not among the turns known here")
        return await self.edit(turn, asked.content)

    async def edit(self, turn: str, content: str | Sequence[ContentBlock]) -> Turn:
        """Ask something else in place of the turn: `send` with `retract`, which has options too.

        Raises:
            All that `send` raises; `unknown_turn` if the turn is void already.
        """
        return await self.send(content, retract=turn)

    async def cancel(self, *, turn: str | None = None, key: str | None = None) -> CancelOutcome:
        """Stop a turn by its id, or by the key of its send; also one that somebody else sent.

        Raises:
            Rejected: the server does not know it.
            BadArgument: neither is given, or there is no conversation yet.
            ConnectionLost, ConnectionRefused, BadServer, WireClosed: the connection ended for good.
        """
        if self._id is None or (turn is None and key is None):
            raise BadArgument("cancel: a turn or a key, of a conversation that exists")
        outcomes: list[CancelOutcome | None] = []
        command = Cancel(id=self._session.next_id(), conversation=self._id, turn=turn, key=key)
        await self._session.command(command, lambda ack: outcomes.append(ack.outcome))
        if outcomes[0] is None:
            raise BadServer("the ack of a cancel has no outcome")
        return outcomes[0]

    async def decide(
        self,
        tool_id: str,
        *,
        allow: bool,
        input: Mapping[str, Any] | None = None,
        reason: str | None = None,
    ) -> None:
        """Answer a `tool_approval`: allow the call, perhaps with another `input`, or deny it.

        Raises:
            Rejected: somebody was faster (`already_decided`; also where a lost connection hid that
                it was we), it no longer waits (`unknown_tool_call`), or `input` does not fit.
            BadArgument: an argument no server would accept, or there is no conversation yet.
            ConnectionLost, ConnectionRefused, BadServer, WireClosed: the connection ended for good.
        """
        await self._answer(
            Decide,
            tool_id=tool_id,
            decision="allow" if allow else "deny",
            input=None if input is None else dict(input),
            reason=reason,
        )

    async def tool_output(self, tool_id: str, content: Content, *, is_error: bool = False) -> None:
        """Answer a call of one of `client_tools`.

        Raises:
            Rejected: it has a result (`already_decided`), or no longer waits (`unknown_tool_call`).
            BadArgument: an argument no server would accept, or there is no conversation yet.
            ConnectionLost, ConnectionRefused, BadServer, WireClosed: the connection ended for good.
        """
        await self._answer(
            ToolOutput, tool_id=tool_id, runner=self.runner, content=content, is_error=is_error
        )

    @property
    def runner(self) -> str:
        """How a `tool_executing` names this program."""
        return self._runner.id

    def runs(self, tool_name: str) -> bool:
        """Whether calls of this tool are run by a function of this program."""
        return self._runner.has(tool_name)

    async def _answer(self, kind: type[Decide | ToolOutput], **fields: Any) -> None:
        if self._id is None:
            raise BadArgument("there is no conversation yet")
        try:
            command = kind(id=self._session.next_id(), conversation=self._id, **fields)
        except ValidationError as error:
            raise BadArgument(first_problem(error)) from error
        await self._session.command(command)

    async def load(self) -> State:
        """Read the conversation to its end; gives `state`, which then has all its turns.

        Raises:
            All that `follow` raises.
        """
        async for _ in self.follow(live=False):
            pass
        return self.state

    async def export(self, format: ExportFormat = "markdown") -> str:
        """The conversation as a document to keep: for people, or as JSON.

        Raises:
            BadArgument: there is no conversation yet.
            Rejected: the server does not know it (any more).
            CannotConnect, ConnectionRefused, BadServer: it cannot be asked.
        """
        return await self._catalogue.export(self._begun("export"), format)

    async def rename(self, title: str) -> None:
        """Give it another title, 1 to 200 characters, in the list of conversations.

        Raises:
            All that `export` raises.
        """
        await self._catalogue.rename(self._begun("rename"), title)

    async def delete(self) -> None:
        """Stop what runs, and have the server forget the conversation; who follows it is told.

        Raises:
            All that `export` raises.
        """
        await self._catalogue.delete(self._begun("delete"))

    async def follow(
        self, after: int = 0, *, epoch: str | None = None, live: bool = True
    ) -> AsyncGenerator[Event | Reset]:
        """All events of the conversation after seq `after`, the live ones as they come; endless.

        With `live=False` it ends where the conversation ended when it was asked for.

        What is not taken yet waits merged. A `Reset` among them says that the log is another
        one: drop what you hold; its events follow from the first. `epoch` is the one that `after`
        was counted in; without it, only a seq beyond the log's end is noticed.

        Raises:
            Rejected: the server does not let us (`unknown_conversation`, …).
            ConversationClosed: it was deleted, or cannot be read.
            BadPosition: this program follows the conversation already, and holds nothing as
                early, or as finely cut, as `after`.
            BadArgument: there is no conversation yet, or `after`, `epoch` or its id can be none.
            ConnectionLost, ConnectionRefused, BadServer, WireClosed: the connection ended for good.
        """
        try:
            # What cannot be asked now could not be asked again by a later connection either.
            Subscribe(id="1", conversation=self._begun("follow"), after=after, epoch=epoch)
        except ValidationError as error:
            raise BadArgument(first_problem(error)) from error
        replica = self._replica_from(after, epoch)
        seq, epoch_count, head_count = after, replica.epoch_count, replica.head_count
        replica.followers += 1
        (self._session.subscribe if live else self._session.look_again)(replica)
        try:
            while True:
                if replica.epoch_count != epoch_count and replica.reset is not None:
                    seq, epoch_count = replica.log.floor, replica.epoch_count
                    yield replica.reset
                    continue
                if not live and replica.head_count != head_count and seq >= replica.head:
                    return
                batch = replica.log.read(seq)
                if not batch:
                    if replica.failure is not None:
                        raise replica.failure
                    await replica.bell.wait()
                for event in batch:
                    seq = event.seq
                    yield event
        finally:
            replica.followers -= 1
            self._session.release(replica)

    async def _send(self, options: dict[str, object], output: OutputType[OutputT]) -> Turn[OutputT]:
        try:
            command = Send.model_validate(
                {"id": self._session.next_id(), **options}
                | ({} if self._id is None else {"conversation": self._id})
            )
        except ValidationError as error:
            raise BadArgument(first_problem(error)) from error
        turns: list[Turn[OutputT]] = []
        # Wanted from before it is sent: an `unsubscribe` behind it would end what it subscribes.
        replica = None if self._id is None else self._replica_of(self._id)
        if replica is not None:
            replica.sending += 1
            self._session.retain(replica)
        try:
            await self._session.command(
                command, lambda ack: turns.append(self._begin(ack, command, output))
            )
        finally:
            if replica is not None:
                replica.sending -= 1
                self._session.release(replica)
        return turns[0]

    def _begin(self, ack: Ack, command: Send, output: OutputType[OutputT]) -> Turn[OutputT]:
        if ack.conversation is None or ack.turn is None or ack.seq is None:
            raise BadServer("the ack of a send lacks conversation, turn or seq")
        replica = self._replica_of(ack.conversation)
        if self._id is None:
            self._id = ack.conversation
            self._on_born(self)
        if ack.seq <= replica.log.floor and ack.epoch == replica.cursor.epoch:
            raise BadPosition(f"this turn is at {ack.seq}, followed is from {replica.log.floor}")
        turn_id = ack.turn
        turn = Turn(
            replica,
            turn=turn_id,
            seq=ack.seq,
            key=command.key or "",
            cancel=lambda: self.cancel(turn=turn_id),
            output=output,
        )
        if not replica.attach(ack):
            self._session.subscribe(replica)
        self._session.retain(replica)
        self._session.release(replica)
        return turn

    def _begun(self, what: str) -> str:
        if self._id is None:
            raise BadArgument(f"{what}: send first, or give the conversation's id")
        return self._id

    def _replica_of(self, conversation: str) -> Replica:
        if self._replica is None or self._replica.failure is not None:
            self._replica = self._session.replica(conversation)
        return self._replica

    def _replica_from(self, after: int, epoch: str | None) -> Replica:
        conversation = self._begun("follow")
        replica = self._replica_of(conversation)
        same_log = epoch is None or replica.cursor.epoch in (None, epoch)
        if same_log and replica.log.can_read(after):
            if replica.cursor.epoch is None:
                replica.cursor.epoch = epoch
            return replica
        if replica.is_wanted:
            raise BadPosition(f"followed already, and not to be cut at {after}")
        self._replica = self._session.new_replica(conversation, after=after, epoch=epoch)
        return self._replica
