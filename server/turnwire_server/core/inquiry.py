"""Inquiries: what a command wants to know of the store. It knows nothing of conversations."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from turnwire_server.core.complaint import Complaint
from turnwire_server.errors import Rejected, StoreError, Unreadable

__all__ = ["Inquiries"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

_ANSWER_SECONDS = 10.0


def _nobody_doubts(error: StoreError) -> None:
    """That of a store of which nobody is told."""


class Inquiries:
    """The store's answers; its trouble refuses the command, and where that is safe its silence.

    `answer_seconds`: how long a command waits for an answer that changes nothing. `doubt`: of a
    store that is asked before anything is begun, it is told that such a question has failed.
    """

    def __init__(
        self,
        *,
        answer_seconds: float = _ANSWER_SECONDS,
        doubt: Callable[[StoreError], None] = _nobody_doubts,
    ) -> None:
        self._answer_seconds = answer_seconds
        self._doubt = doubt
        self._complaint = Complaint(logger, "the store fails, and commands are refused")
        self._is_silent = False
        """Whether the store left the last question without an answer: said in the log once."""

    async def read(self, answer: Awaitable[T]) -> T:
        """The answer to a question that has no effect, and is short.

        Raises:
            Rejected: the store cannot be read, or does not answer.
        """
        return await self._answered(answer, within_seconds=self._answer_seconds, doubt=self._doubt)

    async def done(self, answer: Awaitable[T]) -> T:
        """What comes of a change, or of a long read: waited for as long as it takes.

        Raises:
            Rejected: the store cannot be used.
        """
        return await self._answered(answer, within_seconds=None, doubt=_nobody_doubts)

    async def _answered(
        self,
        answer: Awaitable[T],
        *,
        within_seconds: float | None,
        doubt: Callable[[StoreError], None],
    ) -> T:
        try:
            async with asyncio.timeout(within_seconds):
                found = await answer
        except StoreError as error:
            if not isinstance(error, Unreadable):  # Which says it by itself, of one conversation.
                self._complaint.make(error)
                doubt(error)
            raise Rejected.because_of_the_store(error) from error
        except TimeoutError:
            silence = StoreError(f"a read has no answer after {self._answer_seconds:g} s")
            if not self._is_silent:
                logger.warning("the store hangs: %s", silence)
            self._is_silent = True
            doubt(silence)
            raise Rejected.because_of_the_store() from silence
        self._is_silent = False
        return found
