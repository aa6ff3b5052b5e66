"""What stands in chunks and in messages alike: outputs of tools, and the metadata of an answer."""

from enum import StrEnum
from typing import Any

from pydantic_core import from_json

from turnwire_protocol import (
    Content,
    Done,
    Error,
    Source,
    StopReason,
    TextBlock,
    ToolApproval,
    TotalUsage,
    Usage,
)

__all__ = [
    "NO_OBJECT",
    "UNFINISHED",
    "Json",
    "Version",
    "approval_data",
    "metadata_of_end",
    "output_of",
    "source_url",
    "usage_of",
]

Json = dict[str, Any]

UNFINISHED = "The answer ended before this call was complete."
"""What is shown of a call whose input had not come to its end."""
NO_OBJECT = "The input of this call is not a JSON object."


class Version(StrEnum):
    """A major version of `ai`. Nothing in a request tells it: it is part of the path."""

    V5 = "v5"
    V6 = "v6"
    V7 = "v7"

    @property
    def has_approvals(self) -> bool:
        """Whether it knows calls that wait for a decision."""
        return self >= Version.V6

    @property
    def has_resets(self) -> bool:
        """Whether a stream can take back what it said of a step, and say that one was decided."""
        return self >= Version.V7


def source_url(source: Source) -> Json:
    """A page that the answer cites. Its number is no id: another attempt may cite others."""
    part: Json = {"type": "source-url", "sourceId": source.url, "url": source.url}
    return part if source.title == source.url else {**part, "title": source.title}


def output_of(content: Content) -> Any:
    """A tool's result as pages expect it: the value itself where its text is JSON's."""
    if not isinstance(content, str):
        if all(isinstance(block, TextBlock) for block in content):
            return output_of("\n\n".join(b.text for b in content if isinstance(b, TextBlock)))
        return [block.model_dump() for block in content]
    # Only objects and lists: the texts `7` and `true` may have been meant as texts.
    if content[:1] in ("{", "["):
        try:
            return from_json(content, allow_inf_nan=False)
        except ValueError:
            return content
    return content


def usage_of(usage: Usage | TotalUsage) -> Json:
    """Token counts."""
    return {
        "inputTokens": usage.input_tokens,
        "outputTokens": usage.output_tokens,
        "cacheReadInputTokens": usage.cache_read_input_tokens,
        "cacheCreationInputTokens": usage.cache_creation_input_tokens,
    }


def metadata_of_end(done: Done, error: Error | None) -> Json:
    """How an answer ended."""
    metadata: Json = {"stopReason": done.stop_reason, "usage": usage_of(done.usage)}
    if done.cost_usd is not None:
        metadata["costUsd"] = done.cost_usd
    if done.stop_reason == StopReason.FAILED and error is not None:
        metadata["error"] = {
            "code": error.code,
            "message": error.message,
            "retryable": error.retryable,
        }
    return metadata


def approval_data(asked: ToolApproval, decision: str | None) -> Json:
    """The part `data-tool-approval`, for pages of a version that knows no approvals."""
    data: Json = {
        "toolCallId": asked.tool_id,
        "toolName": asked.tool_name,
        "input": asked.input,
        "expiresAt": asked.expires_at,
    }
    if decision is not None:
        data["decision"] = decision
    return {"type": "data-tool-approval", "id": asked.tool_id, "data": data}
