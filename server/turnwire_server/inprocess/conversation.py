"""A conversation as code of the same process holds it: what the Python client has, over the hub.

It shares the log with all other readers, and decides nothing: what is sent here is judged as any
client's is.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any, Literal, TypedDict, Unpack

from pydantic import BaseModel, ValidationError

from turnwire_protocol import (
    Ack,
    Cancel,
    ClientTool,
    Code,
    Content,
    ContentBlock,
    Decide,
    Effort,
    Event,
    FoldedConversation,
    Reset,
    SendBody,
    ThinkingOption,
    ToolChoice,
    ToolOutput,
    encode,
    first_problem,
)
from turnwire_protocol.text import clean
from turnwire_server.core.hub import Hub
from turnwire_server.errors import Rejected
from turnwire_server.inprocess.reading import read_events
from turnwire_server.inprocess.turn import CancelOutcome, LocalTurn
from turnwire_server.transports.export import to_markdown

__all__ = ["LocalConversation", "SendOptions", "check_title"]

MAX_TITLE_CHARS = 200
"""As in REST."""


class SendOptions(TypedDict, total=False):
    """What a send may say besides its content, as keywords; see PROTOCOL.md, `send`.

    Tied to `SendBody` by a test.
    """

    key: str | None
    model: str | None
    system: str | None
    max_tokens: int | None
    thinking: ThinkingOption | Mapping[str, Any] | None
    effort: Effort | None
    temperature: float | None
    top_p: float | None
    top_k: int | None
    stop_sequences: Sequence[str] | None
    tool_choice: ToolChoice | Mapping[str, Any] | None
    output_format: Mapping[str, Any] | None
    tools: Sequence[str] | None
    client_tools: Sequence[ClientTool | Mapping[str, Any]] | None
    runner: str | None
    if_busy: Literal["reject", "queue", "interrupt"]
    retract: str | None
    on_detach: Literal["continue", "cancel"] | None
    trace: str | None


class LocalConversation:
    """One conversation of a principal; without an id, a new one from its first `send` on.

    For the event loop in which the service runs, while it runs: `check` raises otherwise.
    """

    def __init__(
        self, hub: Hub, principal: str, conversation: str | None, *, check: Callable[[], None]
    ) -> None:
        self.principal = principal
        self.state = FoldedConversation()
        """The turns as `load` last read them. Do not change it."""
        self.epoch: str | None = None
        """Which log `state.seq` counts in."""
        self._hub = hub
        self._id = conversation
        self._check = check
        self._birth = asyncio.Lock()
        self._loading = asyncio.Lock()

    @property
    def id(self) -> str | None:
        """The id; None until the first `send` of a new conversation is accepted."""
        return self._id

    # Saying something

    async def send(
        self, content: str | Sequence[ContentBlock], **options: Unpack[SendOptions]
    ) -> LocalTurn:
        """Send a message of the principal; returns once it is stored.

        The turn runs whether or not anybody reads it. With a `key`, the same message sent twice is
        one turn, also after a restart.

        Raises:
            Rejected: it is not taken: `busy`, `too_many`, `bad_command`, what a hook refused …
        """
        self._check()
        if self._id is None:
            # Two first messages at once would make two conversations.
            async with self._birth:
                return await self._send(content, options)
        return await self._send(content, options)

    async def _send(self, content: str | Sequence[ContentBlock], options: SendOptions) -> LocalTurn:
        said = content if isinstance(content, str) else list(content)
        given = {name: value for name, value in options.items() if value is not None}
        given.setdefault("key", secrets.token_urlsafe(16))
        try:
            send = SendBody.model_validate({**given, "content": said, "conversation": self._id})
        except ValidationError as error:
            raise Rejected(Code.BAD_COMMAND, first_problem(error)) from None
        _check_json(send)
        accepted = await self._hub.send(self.principal, send)
        # Shielded: others wait for it, too.
        await asyncio.shield(accepted.durable)
        self._id = accepted.ack.conversation
        return LocalTurn(
            self._hub,
            self.principal,
            ack=accepted.ack,
            key=send.key,
            cancel=lambda turn: self.cancel(turn=turn),
        )

    async def edit(self, turn: str, content: str | Sequence[ContentBlock]) -> LocalTurn:
        """Ask something else in place of the turn: it and all after it become void.

        Raises:
            Rejected: see `send`; `unknown_turn` where there is none, or it is void already.
        """
        return await self.send(content, retract=turn)

    async def regenerate(self, turn: str) -> LocalTurn:
        """Ask again what the turn asked; it and all after it become void, for every reader.

        Raises:
            Rejected: see `edit`.
        """
        asked = (await self.load()).turns.get(turn)
        if asked is None or asked.content is None:
            raise Rejected(Code.UNKNOWN_TURN, "turn: no such turn, or it is void already")
        return await self.edit(turn, asked.content)

    async def cancel(self, *, turn: str | None = None, key: str | None = None) -> CancelOutcome:
        """Stop a turn, by its id or the key of its send; also one that somebody else sent.

        Raises:
            Rejected: there is no such turn.
        """
        ack = await self._submit(Cancel, {"turn": turn, "key": key})
        assert ack.outcome is not None, "the ack of a cancel tells what came of it"
        return ack.outcome

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
            Rejected: somebody was faster (`already_decided`), it no longer waits
                (`unknown_tool_call`), or `input` does not fit.
        """
        decision = {
            "tool_id": tool_id,
            "decision": "allow" if allow else "deny",
            "input": None if input is None else dict(input),
            "reason": reason,
        }
        await self._submit(Decide, decision)

    async def tool_output(
        self, tool_id: str, content: Content, *, runner: str, is_error: bool = False
    ) -> None:
        """Answer a call of one of the `client_tools` that were sent with this `runner`.

        Raises:
            Rejected: it has a result (`already_decided`), or no longer waits (`unknown_tool_call`).
        """
        output = {"tool_id": tool_id, "runner": runner, "content": content, "is_error": is_error}
        await self._submit(ToolOutput, output)

    async def _submit(
        self, kind: type[Cancel | Decide | ToolOutput], said: Mapping[str, object]
    ) -> Ack:
        conversation = self._begun()
        try:
            command = kind.model_validate({"id": "1", "conversation": conversation, **said})
        except ValidationError as error:
            raise Rejected(Code.BAD_COMMAND, first_problem(error)) from None
        _check_json(command)
        receipt = await self._hub.submit(self.principal, command)
        if receipt.durable is not None:
            await receipt.durable
        return receipt.ack

    # Reading

    async def load(self) -> FoldedConversation:
        """The conversation as it is now: all its turns, to the end of the log. It is `state`, too.

        Raises:
            Rejected: unknown conversation, or it cannot be read.
        """
        async with self._loading:
            follower, head = await self._hub.follow(
                self.principal,
                self._begun(),
                after=self.state.seq,
                epoch=self.epoch,
                wake=_nobody,
            )
            if follower.reset is not None:
                self.state = FoldedConversation()
            self.epoch = follower.epoch
            try:
                await follower.tell(self.state.apply, head=head)
            finally:
                follower.close()
        return self.state

    def follow(
        self, after: int = 0, *, epoch: str | None = None, live: bool = True
    ) -> AsyncGenerator[Event | Reset]:
        """All events after seq `after`; with `live`, those that come as well, without an end.

        What is not taken yet waits merged. A `Reset` among them says that the log is another one
        than that of `epoch`: drop what you hold; its events follow from the first.

        Raises:
            Rejected: unknown conversation, it was deleted meanwhile, or it cannot be read.
        """
        return read_events(
            self._hub, self.principal, self._begun(), after=after, epoch=epoch, live=live
        )

    async def export(self) -> str:
        """The conversation as a Markdown document; `(await load()).to_dict()` is its JSON.

        Raises:
            Rejected: unknown conversation, or it cannot be read.
        """
        head = await self._hub.head(self.principal, self._begun())
        return to_markdown(head.title, await self.load())

    # Keeping

    async def rename(self, title: str) -> None:
        """Give the conversation another title.

        Raises:
            Rejected: unknown conversation, a title without or with too many characters.
        """
        check_title(title)
        await self._hub.rename(self.principal, self._begun(), clean(title))

    async def delete(self) -> None:
        """Stop what runs, end all readers, forget the conversation.

        Raises:
            Rejected: unknown conversation.
        """
        await self._hub.delete(self.principal, self._begun())

    def _begun(self) -> str:
        self._check()
        if self._id is None:
            raise Rejected(Code.UNKNOWN_CONVERSATION, "nothing was sent yet: there is none")
        return self._id


def check_title(title: str) -> None:
    """Refuse what is no title.

    Raises:
        Rejected: it is without or with too many characters.
    """
    if not (isinstance(title, str) and 1 <= len(title) <= MAX_TITLE_CHARS):
        raise Rejected(Code.BAD_COMMAND, f"title: from 1 to {MAX_TITLE_CHARS} characters")


def _check_json(said: BaseModel) -> None:
    """Refuse what is no JSON: a client could not have said it, and no log can hold it.

    Raises:
        Rejected: so it is.
    """
    try:
        encode(said)
    except ValueError as error:
        raise Rejected(Code.BAD_COMMAND, f"it is no JSON: {error}") from None


def _nobody() -> None:
    """The waker of a follower that is read right away."""
