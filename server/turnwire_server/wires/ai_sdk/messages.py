"""A conversation as the messages that a page begins with. Pure: the log's events in, messages out.

An answer is what the chunks of its turn are folded to by the client, see `chunks.py`.
"""

from collections.abc import Iterable

from turnwire_protocol import (
    Content,
    Event,
    FoldedConversation,
    FoldedTurn,
    Link,
    Sources,
    Step,
    TextBlock,
    text_of,
)
from turnwire_protocol.fold import Block, ToolCall
from turnwire_server.core.history.answer import parse_input
from turnwire_server.wires.ai_sdk.request import id_of_message
from turnwire_server.wires.ai_sdk.values import (
    UNFINISHED,
    Json,
    Version,
    approval_data,
    metadata_of_end,
    output_of,
    source_url,
)

__all__ = ["Messages"]


class Messages:
    """Feed it a log; gives its messages, without the answers that are not finished."""

    def __init__(self, version: Version, *, blobs: str) -> None:
        """`blobs`: the URL of the service's blobs, without a slash at its end."""
        self._version = version
        self._blobs = blobs
        self._conversation = FoldedConversation()
        self._id = ""
        self._steps: dict[str, list[int]] = {}
        """Of each turn, how many blocks there were before each of its steps."""

    def apply(self, event: Event) -> None:
        """Take in the next event."""
        self._id = event.conversation
        if isinstance(event, Step) and event.attempt == 1 and not event.compacts:
            turn = self._conversation.turns.get(event.turn)
            before = 0 if turn is None else len(turn.blocks)
            self._steps.setdefault(event.turn, []).append(before)
        self._conversation.apply(event)

    @property
    def unfinished(self) -> str | None:
        """The turn that runs, or rests; None where there is none."""
        turns = self._conversation.turns
        return next((turn.turn for turn in turns if turn.done is None), None)

    def to_list(self) -> list[Json]:
        """The messages, in their order."""
        messages = []
        for turn in self._conversation.turns:
            if turn.content is not None:
                id = id_of_message(turn.turn, turn.key)
                parts = list(self._content(turn.content))
                messages.append({"id": id, "role": "user", "parts": parts})
            if turn.done is not None:
                messages.append(self._answer(turn))
        return messages

    def _content(self, content: Content) -> Iterable[Json]:
        for block in [TextBlock(text=content)] if isinstance(content, str) else content:
            if isinstance(block, TextBlock):
                yield {"type": "text", "text": block.text}
                continue
            if isinstance(block, Link):
                # The page asks for nothing of elsewhere by itself.
                yield {"type": "text", "text": text_of([block])}
                continue
            url = f"{self._blobs}/{block.blob}"
            file = {"type": "file", "mediaType": block.media_type, "url": url}
            yield {**file, "filename": block.name} if block.name else file

    def _answer(self, turn: FoldedTurn) -> Json:
        metadata: Json = {"conversation": self._id, "turn": turn.turn}
        if turn.done is not None:
            metadata |= metadata_of_end(turn.done, turn.error)
        parts: list[Json] = []
        sources, told = Sources(), set[int]()
        steps = self._steps.get(turn.turn, [])
        for number, start in enumerate(steps):
            end = steps[number + 1] if number + 1 < len(steps) else len(turn.blocks)
            parts.append({"type": "step-start"})
            blocks = turn.blocks[start:end]
            parts += self._parts(blocks, sources, told)
            parts += self._questions(blocks)
        if turn.error is None and steps and any(block.tool for block in turn.blocks[steps[-1] :]):
            parts.append({"type": "step-start"})
        return {
            "id": turn.turn,
            "role": "assistant",
            "metadata": {"turnwire": metadata},
            "parts": parts,
        }

    def _parts(self, blocks: Iterable[Block], sources: Sources, told: set[int]) -> Iterable[Json]:
        """Those of a step. Neighbouring texts are one part, with what they cite behind it."""
        text: Json | None = None
        for block in blocks:
            part = self._part(block)
            if block.type != "text":
                text = None
            elif text is not None and part is not None:
                text["text"] += part["text"]
                part = None
            elif part is not None:
                text = part
            if part is not None:
                yield part
            if text is not None and block.text:
                numbers = [each for each in sources.numbers(block.citations) if each not in told]
                told.update(numbers)
                yield from (
                    source_url(each) for each in sources if each.number in numbers and each.url
                )

    def _part(self, block: Block) -> Json | None:
        if block.tool is not None:
            return self._call(block, block.tool)
        if block.type == "compaction":
            return None
        kind = "reasoning" if block.type == "thinking" else "text"
        return {"type": kind, "text": block.text, "state": "done"} if block.text else None

    def _call(self, block: Block, call: ToolCall) -> Json:
        input = parse_input(block.text) if call.input is None else call.input
        part: Json = {
            "type": f"tool-{call.tool_name}",
            "toolCallId": call.tool_id,
            "input": block.text if input is None else input,
            **self._outcome(call),
        }
        if call.runs_on == "provider":
            part["providerExecuted"] = True
        if (approval := self._approval(call)) is not None:
            part["approval"] = approval
        return part

    def _outcome(self, call: ToolCall) -> Json:
        result = call.result
        if result is None:
            return {"state": "output-error", "errorText": UNFINISHED}
        if self._is_denied(call):
            return {"state": "output-denied"}
        if result.is_error:
            return {"state": "output-error", "errorText": text_of(result.content)}
        return {"state": "output-available", "output": output_of(result.content)}

    def _is_denied(self, call: ToolCall) -> bool:
        if call.decision is not None:
            return call.decision.decision == "deny" and self._version.has_approvals
        # Nobody answered, and it did not run. Only v7 hears that from `chunks.py`, too.
        is_over = call.result is not None and call.result.is_error
        return call.approval is not None and is_over and self._version.has_resets

    def _approval(self, call: ToolCall) -> Json | None:
        """The answer to what was asked; None without one: a page would go on asking."""
        is_denied = self._is_denied(call)
        if call.approval is None or not self._version.has_approvals:
            return None
        if call.decision is not None:
            reason = call.decision.reason
        elif is_denied and call.result is not None:
            reason = text_of(call.result.content)
        else:
            return None
        approval: Json = {"id": call.tool_id, "approved": not is_denied}
        return approval if reason is None else {**approval, "reason": reason}

    def _questions(self, blocks: Iterable[Block]) -> Iterable[Json]:
        """What was asked about these calls, where calls themselves cannot say so."""
        for block in blocks if not self._version.has_approvals else ():
            if block.tool is not None and (asked := block.tool.approval) is not None:
                decision = block.tool.decision
                yield approval_data(asked, None if decision is None else decision.decision)
