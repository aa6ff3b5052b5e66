"""Binds thinking to the request it answers, as the API's preserved thinking does; keeps no state.

A thinking block goes back only behind the system prompt, the tools and the messages that the model
had before it. Source: https://platform.claude.com/docs, "Preserved thinking". Thinking whose
signature is the author's own is bound to nothing, as that of older accounts.
"""

import hashlib
import json
from collections.abc import Iterator

from turnwire_simulator.answer import Answer, Step
from turnwire_simulator.blocks import ApiObject
from turnwire_simulator.compaction import behind, summary_of
from turnwire_simulator.errors import Rejected
from turnwire_simulator.prompt_cache import blocks_of
from turnwire_simulator.signature import MARK, made_of, sign_summary

__all__ = ["bound_to", "judge_binding", "signed"]


def bound_to(answer: Answer, body: ApiObject) -> Answer:
    """The answer with its thinking bound to the request that it answers.

    It is bound to the summary in its place, if the answer itself begins with one.
    """
    if (summary := summary_of(answer)) is not None:
        body = behind(body, summary)
    *_, (_, _, _, prefix) = _walk(body)

    def bind(step: Step) -> Step:
        if not isinstance(step, dict) or step["type"] != "content_block_delta":
            return step
        delta = step["delta"]
        if delta["type"] != "signature_delta" or not delta["signature"]:
            return step
        return {**step, "delta": {**delta, "signature": f"{delta['signature']}{MARK}{prefix}"}}

    return Answer.of(
        map(bind, answer.script),
        chunk_bytes=answer.chunk_bytes,
        tokens_per_second=answer.tokens_per_second,
    )


def judge_binding(body: ApiObject) -> None:
    """Raises `Rejected` if thinking stands behind something else than it was thought behind.

    What the model said earlier in the same message may have been in the request (after a pause), or
    in the answer itself: either is right.
    """
    prefix = _head(body)
    candidates = {prefix}
    last_role = "user"
    for path, role, block, following in _walk(body):
        if role != last_role:
            candidates = {prefix}
        _, mark, bound = block.get("signature", "").partition(MARK)
        if block["type"] == "thinking" and mark and bound not in candidates:
            raise Rejected(
                f"{path}: this `thinking` block cannot be used here. The block is bound to a "
                "different conversation: system, tools and all earlier messages must be unchanged."
            )
        candidates.add(following)
        last_role, prefix = role, following


def signed(summary: str, body: ApiObject) -> str:
    """The signature of this summary of the request's messages."""
    *_, (_, _, _, prefix) = _walk(body)
    return sign_summary(summary, head=_head(body), prefix=prefix)


def _head(body: ApiObject) -> str:
    shown = [blocks_of(body.get("system") or []), body.get("tools") or []]
    return _digest("", [[_bare(block) for block in blocks] for blocks in shown])


def _walk(body: ApiObject) -> Iterator[tuple[str, str, ApiObject, str]]:
    """Path, role and block of all messages, and the digest of everything up to that block."""
    prefix = head = _head(body)
    for number, message in enumerate(body["messages"]):
        for position, block in enumerate(blocks_of(message["content"])):
            made = made_of(block.get("signature", "")) if block["type"] == "compaction" else None
            # Behind a signed summary everything is as it was behind what that was made of.
            if made is not None and made[0] == head:
                prefix = made[1]
            else:
                prefix = _digest(prefix, [message["role"], _bare(block)])
            yield f"messages.{number}.content.{position}", message["role"], block, prefix


def _bare(block: ApiObject) -> ApiObject:
    return {name: value for name, value in block.items() if name != "cache_control"}


def _digest(prefix: str, shown: object) -> str:
    text = json.dumps([prefix, shown], ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]
