"""Errands: what a node asks of the one that holds a conversation, and what comes back.

The holder decides as it would for a client of its own. It does what it is asked while it holds the
conversation, or nobody does, and never asks on: whoever asked looks again where it is held now.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from turnwire_protocol import Ack, Cancel, Code, Decide, Progress, SendBody, ToolOutput
from turnwire_server.core.past import PastTurn
from turnwire_server.errors import Held, Rejected, StoreError
from turnwire_server.store.nodes import Nodes

__all__ = ["Errand", "Errands", "Outcome"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

_MAX_MOVES = 3
"""A conversation that goes from node to node is run after so often."""


class _Strict(BaseModel):
    # Input is hidden so that no log of the error can show a message.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Errand(_Strict):
    """A message, a command, or, with neither, the wish to delete the conversation."""

    principal: str
    conversation: str
    send: SendBody | None = None
    begins: bool = False
    """Whether the message begins the conversation if there is none."""
    past: list[PastTurn] = []
    """What such a conversation begins with."""
    command: Annotated[
        Cancel | Decide | ToolOutput | Progress | None, Field(discriminator="type")
    ] = None


class _Refusal(_Strict):
    code: Code
    message: str
    retryable: bool
    retry_after_seconds: float | None


class Outcome(_Strict):
    """What the holder has done; what its ack promises is durable."""

    ack: Ack | None = None
    done_seq: int | None = None
    refusal: _Refusal | None = None
    is_moved: bool = False
    """Whether nothing was done, because it holds the conversation no more."""

    @property
    def given_ack(self) -> Ack:
        """Of a command that was done, and was not a deletion."""
        assert self.ack is not None, "whoever does a command gives its ack"
        return self.ack


class Errands:
    """This node's, to others and from others. `perform` does one of another node here.

    It raises `Held` where this node does not hold the conversation.
    """

    def __init__(self, nodes: Nodes, perform: Callable[[Errand], Awaitable[Outcome]]) -> None:
        self._nodes = nodes
        self._perform = perform

    async def run(
        self, here: Callable[[], Awaitable[T]], errand: Callable[[], Errand]
    ) -> T | Outcome:
        """What comes of it here, or where the conversation is held: `here` raises `Held` then.

        Raises:
            Rejected: it took no effect; or there is no answer, and whether it did is not known.
        """
        for _ in range(_MAX_MOVES):
            try:
                return await here()
            except Held as held:
                outcome = await self._ask(held.holder, errand())
            if not outcome.is_moved:
                return outcome
        message = "the conversation goes from node to node"
        raise Rejected(Code.STORAGE_UNAVAILABLE, message, retry_after_seconds=1.0)

    async def _ask(self, holder: str, errand: Errand) -> Outcome:
        try:
            outcome = Outcome.model_validate_json(
                await self._nodes.ask(holder, errand.model_dump_json())
            )
        except StoreError as error:
            raise Rejected.because_of_the_store(error) from error
        if outcome.refusal is not None:
            raise Rejected(**dict(outcome.refusal))
        return outcome

    async def answer(self, text: str) -> str:
        """Do what another node asks; see `Watcher.on_errand`."""
        try:
            outcome = await self._perform(Errand.model_validate_json(text))
        except Held:
            outcome = Outcome(is_moved=True)
        except Rejected as refused:
            outcome = _refused(refused)
        except Exception:
            # Boundary: the other node waits for an answer, whatever goes wrong here.
            logger.exception("what another node asked has failed")
            outcome = _refused(Rejected(Code.INTERNAL, "internal error"))
        return outcome.model_dump_json()


def _refused(refused: Rejected) -> Outcome:
    refusal = _Refusal(
        code=refused.code,
        message=refused.message,
        retryable=refused.retryable,
        retry_after_seconds=refused.retry_after_seconds,
    )
    return Outcome(refusal=refusal)
