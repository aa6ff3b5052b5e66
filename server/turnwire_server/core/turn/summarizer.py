"""Has older messages summarised before the model's window is full. It knows one turn at a time.

A summary that cannot be had is no failure of the turn, which goes on with all messages as long as
they fit; it is not asked for again in this turn, unless the provider could not make it just now.
"""

import logging
from dataclasses import replace

from turnwire_server.core.history.summary import Older
from turnwire_server.core.telemetry import TurnWatch
from turnwire_server.core.turn.answer_writer import AnswerWriter
from turnwire_server.errors import ModelError
from turnwire_server.log_fields import Fields
from turnwire_server.model.port import CompactionPart, Model, ModelRequest, Stop, UsagePart

__all__ = ["Summarizer"]

logger = logging.getLogger("turnwire.turn")

_LEAST_TOKENS = 8192
"""As long a summary may be, with what is thought before it: a client's limit is one of answers."""


class Summarizer:
    """Of one turn: when, and the call itself; its step is the turn's."""

    def __init__(self, model: Model, answer: AnswerWriter, *, at: float, watch: TurnWatch) -> None:
        """`at`: how full the window may get, as a share of it; 0: nothing is ever summarised."""
        self._model = model
        self._answer = answer
        self._at = at
        self._watch = watch
        self._has_failed = False

    def can(self, model: str) -> bool:
        """Whether this model could summarise, as far as is known."""
        return (
            self._at > 0
            and not self._has_failed
            and self._model.context(model).compacts_from is not None
        )

    def is_due(self, model: str, *, context_tokens: int | None) -> bool:
        """Whether a conversation of this length is to be summarised by this model."""
        if not context_tokens or not self.can(model):
            return False
        context = self._model.context(model)
        if context.window is None or context.compacts_from is None:
            return False
        return context_tokens >= max(self._at * context.window, context.compacts_from)

    async def run(self, request: ModelRequest, older: Older) -> bool:
        """One call, whose summary is written; whether there was one. `request` has `older`.

        Raises:
            ModelError: the call failed.
        """
        summary: CompactionPart | None = None
        reason: str | None = None
        most = max(request.max_tokens, _LEAST_TOKENS)
        request = replace(request, max_tokens=most, compacts=True)
        try:
            with self._watch.ask(request):
                async with self._model.stream(request) as stream:
                    async for parts in stream:
                        for part in parts:
                            # Whatever else it says is no answer to anybody.
                            match part:
                                case UsagePart():
                                    self._answer.take(part)
                                case CompactionPart():
                                    summary = part
                                case Stop():
                                    reason = part.reason
                                    self._watch.answer(reason, list)
        except ModelError as error:
            self._has_failed = not error.retryable
            raise
        if summary is None:
            # The model wrote none: it was cut off, or it called a tool, or it refused.
            self._has_failed = True
            ids = self._watch.ids()
            logger.warning("no summary %s", Fields(**ids, model=request.model, stop_reason=reason))
            return False
        self._answer.summarise(summary, older.private)
        return True
