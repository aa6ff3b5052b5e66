"""A summary in a history: what the model is shown in place of older messages. Pure."""

from typing import Any, NamedTuple

from turnwire_server.core.log.items import Private
from turnwire_server.model.port import ApiBlock, ApiMessage

__all__ = ["Older", "Summary"]


class Older(NamedTuple):
    """What can be summarised: all that the request before the last answer showed.

    So the summary is made of messages that the API has taken, it reads them from the cache, no call
    is without its result, and what was said last goes on word for word, with its attachments.
    """

    messages: list[ApiMessage]
    private: Private
    """To be kept with the summary."""


class Summary(NamedTuple):
    """A summary that is in the log, and what is shown behind it."""

    block: int
    """Its number in its turn."""
    raw: ApiBlock
    turn: str
    """The turn, and its step, from which on messages are shown still."""
    step: int
    head: str | None
    prefix: str | None
    """The digests of what it was made of; None: the answer itself began with it."""

    @classmethod
    def of(cls, block: int, private: Private, *, turn: str, step: int) -> "Summary":
        """Of an event `compaction` that stands in this turn and step."""
        told: dict[str, Any] = {"turn": turn, "step": step, "head": None, "prefix": None}
        told |= {name: private[name] for name in told if name in private}
        return cls(block, private["raw"], **told)

    @property
    def message(self) -> ApiMessage:
        """What messages begin with."""
        return {"role": "assistant", "content": [self.raw]}

    def prefix_behind(self, head: str) -> str | None:
        """The digest of what it stands for, where thinking behind that is valid behind it, too.

        It is behind a signed summary of the same system prompt and tools: the API knows what that
        was made of (platform.claude.com/docs, "Compaction and preserved thinking").
        """
        return self.prefix if self.raw.get("signature") and self.head == head else None
