"""Quotas: what each principal may still begin: turns by number and by what they use, conversations.

Limits of one request are elsewhere; these are about what somebody has done before, here and, by the
day, in processes before this one.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from weakref import WeakSet

from turnwire_protocol import Code
from turnwire_server.core.conversation import Conversation
from turnwire_server.core.inquiry import Inquiries
from turnwire_server.core.limits import Buckets, ServiceLimits
from turnwire_server.errors import Rejected
from turnwire_server.store.port import HIDDEN, Spent, Store

__all__ = ["Quotas", "Standing"]

_MINUTE = 60.0
_MAX_COUNTED = 10_000
"""Principals whose conversations are counted here; for more, the store is always asked."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True, frozen=True)
class Standing:
    """What the store knew of a principal a moment ago."""

    at: datetime
    spent: Spent
    """Today; nothing where that is not bounded."""
    conversations: int | None
    """None where the store need not be asked: they are counted here, and far from their bound. 0
    where there is no bound."""
    elsewhere: int = 0
    """Conversations in which a turn runs on other nodes."""


class Quotas:
    """Who may begin another turn, and a conversation with it.

    What is refused counts for nothing. `clock` gives the time in UTC, `now` monotonic seconds.
    """

    def __init__(
        self,
        store: Store,
        inquiries: Inquiries,
        limits: ServiceLimits,
        *,
        now: Callable[[], float] = time.monotonic,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._store = store
        self._inquiries = inquiries
        self._limits = limits
        self._now = now
        self._clock = clock
        self._busy: dict[str, WeakSet[Conversation]] = {}
        """Conversations of each principal that may have an unfinished turn. May hold stale ones
        after a message was withdrawn; `check` removes them."""
        self._counted: dict[str, int] = {}
        """How many conversations each principal has at most: what the store said, and all that were
        begun since. Deleting some only makes them fewer. Not where other nodes begin any."""
        most = limits.max_turns_per_minute
        self._turns = Buckets(most / _MINUTE, size=most) if most is not None else None

    async def standing(self, principal: str, *, begins: bool) -> Standing:
        """Ask the store what the bounds need; `begins`: perhaps a conversation.

        Raises:
            Rejected: the store cannot be read.
        """
        at, limits = self._clock(), self._limits
        spent = Spent(at.date().isoformat())
        conversations: int | None = 0
        if limits.max_tokens_per_day is not None or limits.max_cost_usd_per_day is not None:
            spent = await self._inquiries.read(self._store.spent(principal, spent.day))
        if begins and limits.max_conversations_per_principal is not None:
            conversations = await self._count(principal, limits.max_conversations_per_principal)
        elsewhere = 0
        if self._store.is_shared:
            running = await self._inquiries.read(self._store.count_open(principal))
            here = sum(other.has_begun for other in self._busy.get(principal, ()))
            elsewhere = max(running - here, 0)
        return Standing(at, spent, conversations, elsewhere)

    async def _count(self, principal: str, most: int) -> int | None:
        """How many conversations the principal has; see `Standing`."""
        counted = self._counted.get(principal)
        if counted is not None and counted < most // 2:
            return None
        count = await self._inquiries.read(self._store.count(principal))
        counted = self._counted.get(principal)
        if counted is not None or (not self._store.is_shared and len(self._counted) < _MAX_COUNTED):
            # Never fewer: others may have begun since the store looked.
            self._counted[principal] = max(count, counted or 0)
        return count

    def check(self, principal: str, conversation: Conversation, standing: Standing) -> None:
        """Whether the principal may begin a turn in this conversation now.

        Turns that run are let go on, so a day may end above its bound, by what they still use.

        Raises:
            Rejected: too_many.
        """
        limits = self._limits
        busy = {other for other in self._busy.pop(principal, ()) if other.is_busy}
        if busy:
            self._busy[principal] = WeakSet(busy)
        running = len(busy) + standing.elsewhere
        if running >= limits.max_running_turns and conversation not in busy:
            raise Rejected(Code.TOO_MANY, f"{running} turns of yours are running already")
        if self._turns is not None:
            seconds = self._turns.seconds_until(principal, self._now())
            if seconds > 0:
                message = f"at most {limits.max_turns_per_minute} turns a minute"
                raise Rejected(Code.TOO_MANY, message, retry_after_seconds=round(seconds, 3))
        self._check_day(busy, standing)
        self.check_conversations(principal, conversation, standing)

    def check_conversations(
        self, principal: str, conversation: Conversation, standing: Standing
    ) -> None:
        """Whether the principal may have this conversation too, if it is a new one.

        Raises:
            Rejected: too_many.
        """
        most = self._limits.max_conversations_per_principal
        if most is not None and conversation.is_empty and _counts(conversation):
            # Those whose first message is not stored yet, the store has not counted.
            busy = self._busy.get(principal, ())
            beginning = sum(other.is_beginning and _counts(other) for other in busy)
            known = standing.conversations
            if (self._counted.get(principal, 0) if known is None else known + beginning) >= most:
                raise Rejected(Code.TOO_MANY, f"at most {most} conversations: delete some")
            if principal in self._counted:
                self._counted[principal] += 1

    def _check_day(self, busy: set[Conversation], standing: Standing) -> None:
        most_tokens = self._limits.max_tokens_per_day
        most_usd = self._limits.max_cost_usd_per_day
        if most_tokens is None and most_usd is None:
            return
        running = [other.spending() for other in busy]
        tokens = standing.spent.tokens + sum(spent.tokens for spent in running)
        usd = standing.spent.cost_usd + sum(spent.cost_usd for spent in running)
        if most_tokens is not None and tokens >= most_tokens:
            message = f"the {most_tokens} tokens of today (UTC) are used up"
        elif most_usd is not None and usd >= most_usd:
            message = "what today's (UTC) turns may cost is used up"
        else:
            return
        today = standing.at.replace(hour=0, minute=0, second=0, microsecond=0)
        seconds = (today + timedelta(days=1) - standing.at).total_seconds()
        raise Rejected(Code.TOO_MANY, message, retry_after_seconds=round(seconds, 3))

    def begun(self, principal: str, conversation: Conversation) -> None:
        """A message that `check` has let pass was accepted."""
        self._busy.setdefault(principal, WeakSet()).add(conversation)
        if self._turns is not None:
            self._turns.take(principal, self._now())

    def rest(self, conversation: Conversation) -> None:
        """A turn is over: forget that the conversation is busy, if it is not any more."""
        busy = self._busy.get(conversation.owner, WeakSet())
        if not conversation.is_busy:
            busy.discard(conversation)
        if not busy:
            self._busy.pop(conversation.owner, None)


def _counts(conversation: Conversation) -> bool:
    return not conversation.conversation.startswith(HIDDEN)
