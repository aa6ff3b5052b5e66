"""What requests are answered with: what is programmed, and what comes without; knows no HTTP."""

import secrets
from collections import deque
from collections.abc import Callable, Set

from turnwire_simulator.answer import Answer, Step
from turnwire_simulator.binding import bound_to, signed
from turnwire_simulator.blocks import ApiObject, Compaction, words
from turnwire_simulator.compaction import (
    BETAS,
    behind,
    is_over,
    pauses,
    shown,
    summarised,
    summary_text,
)
from turnwire_simulator.demo import demo_answer
from turnwire_simulator.fault import Fault
from turnwire_simulator.prompt_cache import PromptCache

__all__ = ["Item", "Program", "SummaryItem"]

Item = Answer | Fault | Callable[[ApiObject], Answer | Fault]
SummaryItem = str | Item | None

_NO_TOKENS = {
    "input_tokens": 0,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
    "output_tokens": 0,
}


class Program:
    """The answers to come, and the prompt cache that counts them."""

    def __init__(self) -> None:
        self.items: deque[Item] = deque()
        """Each answers a request; with none left `otherwise` does."""
        self.summaries: deque[SummaryItem] = deque()
        """Each is what a request gets that has messages summarised; None: that fails."""
        self.otherwise: Callable[[ApiObject], Answer | Fault] = demo_answer
        self._cache = PromptCache()

    def answer(self, body: ApiObject, betas: Set[str]) -> Answer | Fault:
        """The answer to a valid request, with its id and counts."""
        seen = shown(body)
        if body.get("compaction") is not None or is_over(seen):
            return self._summary(body, seen)
        item = self._next(body)
        if isinstance(item, Fault):
            return item
        return self._counted(item, seen, [] if betas & BETAS else None)

    def _next(self, body: ApiObject) -> Answer | Fault:
        item = self.items.popleft() if self.items else self.otherwise
        return item(body) if callable(item) else item

    def _summary(self, body: ApiObject, seen: ApiObject) -> Answer | Fault:
        item = self.summaries.popleft() if self.summaries else summary_text(seen)
        if callable(item):
            item = item(seen)
        if isinstance(item, Fault):
            return item
        if isinstance(item, Answer):
            return self._counted(item, seen, None)
        counts = self._cache.usage(seen)
        used = {name: counts[name] for name in _NO_TOKENS if name in counts}
        used = {"type": "compaction", **used, "output_tokens": len(words(item or ""))}
        if body.get("compaction") is not None:
            blocks = [Compaction(item, signed(item, seen))] if item else []
            reason = "compaction" if item else "end_turn"
            return _only(Answer(*blocks, stop_reason=reason, output_tokens=0), body, used)
        block = Compaction(item)
        if pauses(body):
            answer = Answer(block, stop_reason="compaction", output_tokens=0)
            return _only(answer, body, used)
        ordinary = self._next(body)
        if isinstance(ordinary, Fault):
            return ordinary
        seen = behind(body, item) if item else seen
        return self._counted(summarised(ordinary, block), seen, [used])

    def _counted(
        self, answer: Answer, seen: ApiObject, iterations: list[ApiObject] | None
    ) -> Answer:
        """The answer with the counts of what the model saw; `iterations` are those before it."""
        usage = self._cache.usage(seen)
        filled = bound_to(answer.filled_in(_head(seen), {**usage, "output_tokens": 1}), seen)
        if iterations is None:
            return filled
        message = {"type": "message", **{name: usage[name] for name in usage if name in _NO_TOKENS}}
        return _told(filled, lambda output: [*iterations, {**message, "output_tokens": output}])


def _only(answer: Answer, body: ApiObject, used: ApiObject) -> Answer:
    """An answer that is nothing but a summary: its tokens are those of no answer."""
    return _told(answer.filled_in(_head(body), _NO_TOKENS), lambda _: [used])


def _told(answer: Answer, iterations: Callable[[int], list[ApiObject]]) -> Answer:
    def tell(step: Step) -> Step:
        if not isinstance(step, dict) or step["type"] != "message_delta":
            return step
        usage = step.get("usage") or {}
        told = {**usage, "iterations": iterations(usage.get("output_tokens", 0))}
        return {**step, "usage": told}

    return Answer.of(
        map(tell, answer.script),
        chunk_bytes=answer.chunk_bytes,
        tokens_per_second=answer.tokens_per_second,
    )


def _head(body: ApiObject) -> ApiObject:
    return {
        "id": f"msg_{secrets.token_hex(12)}",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [],
        "stop_details": None,
        "stop_reason": None,
        "stop_sequence": None,
    }
