"""What a node says to the others: mail, bells, and what it reads, all in one statement."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

from turnwire_server.store.postgres.address import Connection

__all__ = ["Mail", "Outgoing"]

_MAX_BELL_BYTES = 7900
"""PostgreSQL takes no more than 8000 in one."""


@dataclass(slots=True, frozen=True)
class Mail:
    """An errand, or the answer to one."""

    id: str
    to_node: str
    answers: str | None
    """The id of the errand that it answers."""
    body: str


@dataclass(slots=True)
class Outgoing:
    """What the next statement carries."""

    mail: list[Mail] = field(default_factory=list)
    withdrawn: list[str] = field(default_factory=list)
    """Ids of mail that nobody waits for any more."""
    wakes: dict[str, dict[str, None]] = field(default_factory=dict)
    """Conversations by node."""
    reads: dict[str, bool] = field(default_factory=dict)
    """Whether this node has readers of a conversation: what it was said last."""
    known: list[asyncio.Future[None]] = field(default_factory=list)
    """Done once all of this is."""

    def withdraw(self, id: str) -> None:
        """Nobody waits for the answer to this errand any more."""
        # What is in one statement with it would not be seen by it.
        self.mail = [mail for mail in self.mail if mail.id != id]
        self.withdrawn.append(id)

    def take_back(self, unsaid: "Outgoing") -> None:
        """Say with this what could not be said, but for its mail: that may have been read."""
        self.withdrawn += unsaid.withdrawn
        self.known += unsaid.known
        self.reads = {**unsaid.reads, **self.reads}
        for node, conversations in unsaid.wakes.items():
            self.wakes.setdefault(node, {}).update(conversations)

    async def say(self, connection: Connection, me: str) -> None:
        """Say it all, in the name of the node `me`.

        Raises:
            FAILURES: see `address`; then nobody knows whether it was said.
        """
        bells = list(self._bells())
        await connection.execute(
            _SAY,
            me,
            [mail.id for mail in self.mail],
            [mail.to_node for mail in self.mail],
            [mail.answers for mail in self.mail],
            [mail.body for mail in self.mail],
            self.withdrawn,
            [conversation for conversation, reads in self.reads.items() if reads],
            [conversation for conversation, reads in self.reads.items() if not reads],
            [node for node, _ in bells],
            [text for _, text in bells],
        )
        for known in self.known:
            if not known.done():
                known.set_result(None)

    def _bells(self) -> Iterator[tuple[str, str]]:
        """Whom to tell what."""
        for node in dict.fromkeys(mail.to_node for mail in self.mail):
            yield node, "m"
        for node, conversations in self.wakes.items():
            for text in _joined(conversations):
                yield node, f"w {text}"


def _joined(conversations: dict[str, None]) -> Iterator[str]:
    """The ids in texts that are short enough for one bell."""
    text = ""
    for conversation in conversations:
        if text and len(text) + len(conversation.encode()) >= _MAX_BELL_BYTES:
            yield text
            text = ""
        text += f" {conversation}" if text else conversation
    yield text


# $1 is this node. Whoever holds a conversation is told who reads it.
_SAY = """WITH posted AS (
        INSERT INTO mail (id, to_node, from_node, answers, body)
        SELECT id, to_node, $1, answers, body
        FROM unnest($2::text[], $3::text[], $4::text[], $5::text[])
            AS mail (id, to_node, answers, body)
    ), withdrawn AS (
        DELETE FROM mail WHERE id = ANY($6::text[])
    ), come AS (
        INSERT INTO readers SELECT unnest($7::text[]), $1 ON CONFLICT DO NOTHING
    ), gone AS (
        DELETE FROM readers WHERE node = $1 AND conversation = ANY($8::text[])
    ), bells AS (
        SELECT * FROM unnest($9::text[], $10::text[]) AS bell (node, text)
        UNION ALL
        SELECT node, 'r ' || id FROM conversations
            WHERE id = ANY($7::text[] || $8::text[]) AND node <> $1
    )
    SELECT pg_notify('tw_' || node, text) FROM bells"""
