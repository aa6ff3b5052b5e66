"""The events of a conversation's log, as on the wire; knows no transport and no storage."""

from math import isfinite
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    model_validator,
)
from pydantic_core import PydanticCustomError

from turnwire_protocol.citation import Citation
from turnwire_protocol.text import clean

__all__ = [
    "Attachment",
    "BlockStop",
    "Compaction",
    "Content",
    "ContentBlock",
    "Delta",
    "DocumentBlock",
    "DocumentLink",
    "Done",
    "Error",
    "Event",
    "ImageBlock",
    "ImageLink",
    "Iteration",
    "Link",
    "Message",
    "Refusal",
    "Retract",
    "Retry",
    "Rewind",
    "RunsOn",
    "Start",
    "Step",
    "TextBlock",
    "Thinking",
    "Token",
    "ToolApproval",
    "ToolDecision",
    "ToolExecuting",
    "ToolInput",
    "ToolProgress",
    "ToolResult",
    "ToolStart",
    "TotalUsage",
    "UnknownEvent",
    "Usage",
    "encode",
    "parse_event",
    "text_of",
]


def _finite(value: Any) -> Any:
    # JSON's grammar allows 1e999, which is read as infinity and would be written as null.
    pending = [value]
    while pending:
        match pending.pop():
            case dict() as fields:
                pending.extend(fields.values())
            case list() as items:
                pending.extend(items)
            case float() as number if not isfinite(number):
                raise PydanticCustomError("finite", "a number is out of range")
    return value


MadeText = Annotated[str, AfterValidator(clean)]
"""Text from Python code: a tool or an exception can make half a surrogate pair, which the log would
refuse. It becomes U+FFFD. The model's and the clients' texts were JSON and have none."""


class TextBlock(BaseModel):
    """A block of text inside `content`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["text"] = "text"
    text: MadeText


class _BlobBlock(BaseModel):
    """Refers to a blob, whose bytes are fetched with `GET /v1/blobs/{blob}`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    blob: str = Field(pattern=r"^b_[0-9a-f]{32}$")
    bytes: int = Field(ge=1, strict=True)
    name: MadeText = Field(
        default="", min_length=1, max_length=200, exclude_if=lambda name: not name
    )


class _Link(BaseModel):
    """Refers to what the model's provider fetches: `url` or `file`, exactly one of them."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={"oneOf": [{"required": ["url"]}, {"required": ["file"]}]},
    )

    url: str | None = Field(
        default=None,
        pattern=r"^https://[^\s/?#@]+([/?#]\S*)?$",
        max_length=2048,
        exclude_if=lambda url: url is None,
    )
    file: str | None = Field(
        default=None,
        pattern=r"^file_[A-Za-z0-9_-]{1,128}$",
        description="the id of a file of the provider's Files API",
        exclude_if=lambda file: file is None,
    )
    name: MadeText = Field(
        default="", min_length=1, max_length=200, exclude_if=lambda name: not name
    )

    @model_validator(mode="after")
    def _names_one_thing(self) -> Self:
        if (self.url is None) == (self.file is None):
            raise PydanticCustomError("link", "exactly one of url and file is required")
        return self

    @property
    def target(self) -> str:
        """The address, or the id."""
        return self.url or self.file or ""


class ImageLink(_Link):
    """An image inside `content` that is somewhere else."""

    type: Literal["image"] = "image"


class ImageBlock(_BlobBlock):
    """An image inside `content`."""

    type: Literal["image"] = "image"
    media_type: Literal["image/png", "image/jpeg", "image/gif", "image/webp"]


class DocumentBlock(_BlobBlock):
    """A document inside `content`."""

    type: Literal["document"] = "document"
    media_type: Literal["application/pdf"]
    citations: bool = Field(
        default=False,
        strict=True,
        description="whether the answer is to say what of it stands where in the document",
        exclude_if=lambda citations: not citations,
    )


class DocumentLink(_Link):
    """A document inside `content` that is somewhere else."""

    type: Literal["document"] = "document"
    citations: bool = Field(
        default=False,
        strict=True,
        description="whether the answer is to say what of it stands where in the document",
        exclude_if=lambda citations: not citations,
    )


def _block_tag(block: Any) -> str | None:
    if isinstance(block, dict):
        kind, is_link = block.get("type"), "url" in block or "file" in block
    else:
        kind, is_link = getattr(block, "type", None), isinstance(block, _Link)
    if kind not in ("text", "image", "document"):
        return None
    # The bracket marks a branch: paths of errors leave it out.
    return f"[{kind} link]" if is_link and kind != "text" else f"[{kind}]"


Attachment = ImageBlock | DocumentBlock
Link = ImageLink | DocumentLink
ContentBlock = Annotated[
    Annotated[TextBlock, Tag("[text]")]
    | Annotated[ImageBlock, Tag("[image]")]
    | Annotated[DocumentBlock, Tag("[document]")]
    | Annotated[ImageLink, Tag("[image link]")]
    | Annotated[DocumentLink, Tag("[document link]")],
    Discriminator(
        _block_tag,
        custom_error_type="block",
        custom_error_message="a block of type text, image or document is required",
    ),
]
Content = MadeText | list[ContentBlock]
Count = Annotated[int, Field(ge=0)]
RunsOn = Literal["server", "client", "provider"]
Object = Annotated[dict[str, Any], AfterValidator(_finite)]


class _Event(BaseModel):
    """What every event carries: where it stands in which log, and whose turn it is of."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    conversation: str
    seq: int = Field(ge=1, description="position in the log; of a merged event, its last part's")
    turn: str


class _Delta(_Event):
    """A piece of a block. Neighbours of one block merge; `span` is how many this one covers."""

    span: int = Field(default=1, ge=1, exclude_if=lambda span: span == 1)
    block: int = Field(ge=0)


class _Dated(_Event):
    at: str = Field(description="RFC 3339, UTC")


class Message(_Dated):
    """A user's message was accepted; it may wait behind a running turn."""

    type: Literal["message"] = "message"
    role: Literal["user"] = "user"
    content: Content
    key: str | None = None


class Start(_Dated):
    """The turn begins to run."""

    type: Literal["start"] = "start"
    model: str


class Step(_Dated):
    """A call of the model begins."""

    type: Literal["step"] = "step"
    step: int = Field(ge=1)
    attempt: int = Field(ge=1)
    model: str
    compacts: Literal[True] | None = Field(
        default=None, description="the call answers nothing: it summarises older messages"
    )


class Thinking(_Delta):
    """The model thinks."""

    type: Literal["thinking"] = "thinking"
    text: str


class Token(_Delta):
    """Text of the answer."""

    type: Literal["token"] = "token"
    text: str


class ToolStart(_Dated):
    """The model named a tool. An announcement: its input is still coming and nothing runs yet."""

    type: Literal["tool_start"] = "tool_start"
    block: int = Field(ge=0)
    tool_id: str
    tool_name: str
    runs_on: RunsOn


class ToolInput(_Delta):
    """A piece of a tool call's input."""

    type: Literal["tool_input"] = "tool_input"
    tool_id: str
    partial_json: str


class BlockStop(_Dated):
    """The block is complete."""

    type: Literal["block_stop"] = "block_stop"
    block: int = Field(ge=0)
    citations: list[Citation] | None = Field(
        default=None, description="where what a text block says was read"
    )


class Compaction(_Dated):
    """Older messages were summarised: the model is shown the summary in their place from now on."""

    type: Literal["compaction"] = "compaction"
    block: int = Field(ge=0)
    summary: str


class Iteration(BaseModel):
    """A call within a call: of a model that declined, an advisor, a summary; an open set."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: str
    model: str | None = None
    input_tokens: int = Field(ge=0)
    output_tokens: int = Field(ge=0)
    cache_read_input_tokens: int = Field(ge=0)
    cache_creation_input_tokens: int = Field(ge=0)
    cache_creation_1h_input_tokens: Count | None = None


class _FinerCounts(BaseModel):
    """What more is counted, where it is more than nothing."""

    cache_creation_1h_input_tokens: Count | None = Field(
        default=None, description="those of `cache_creation_input_tokens` kept for an hour"
    )
    thinking_tokens: Count | None = Field(
        default=None, description="those of `output_tokens` that the model thought"
    )
    web_fetch_requests: Count | None = None
    web_search_requests: Count | None = None


class Usage(_FinerCounts, _Dated):
    """Token counts of one attempt so far, at its start and at its end."""

    type: Literal["usage"] = "usage"
    step: int = Field(ge=1)
    attempt: int = Field(ge=1)
    input_tokens: int = Field(ge=0)
    output_tokens: int = Field(ge=0)
    cache_read_input_tokens: int = Field(ge=0)
    cache_creation_input_tokens: int = Field(ge=0)
    context_tokens: int | None = Field(
        default=None, ge=0, description="how much of the model's window is taken now"
    )
    context_window: int | None = Field(
        default=None, ge=1, description="the model's window, where it is known"
    )
    model: str | None = Field(
        default=None, description="the model that answers, where it is not the step's"
    )
    service_tier: str | None = None
    iterations: list[Iteration] | None = Field(
        default=None, description="calls within this one, which the counts include"
    )


class ToolApproval(_Dated):
    """Somebody must decide whether the tool may run; `expires_at` is for display only."""

    type: Literal["tool_approval"] = "tool_approval"
    tool_id: str
    tool_name: str
    input: Object
    expires_at: str


class ToolDecision(_Dated):
    """It was decided, or it expired (`deny`)."""

    type: Literal["tool_decision"] = "tool_decision"
    tool_id: str
    decision: Literal["allow", "deny"]
    input: Object | None = None
    reason: str | None = None


class ToolExecuting(_Dated):
    """The tool runs now. Of clients, only `runner` runs it, once per `tool_id`."""

    type: Literal["tool_executing"] = "tool_executing"
    tool_id: str
    tool_name: str
    input: Object
    runs_on: RunsOn
    runner: str | None = None


class ToolProgress(_Dated):
    """The running tool reports; `fraction` is from 0 to 1."""

    type: Literal["tool_progress"] = "tool_progress"
    tool_id: str
    message: MadeText
    fraction: float | None = Field(default=None, ge=0, le=1)


class ToolResult(_Dated):
    """A tool's result, as the model is shown it."""

    type: Literal["tool_result"] = "tool_result"
    tool_id: str
    content: Content
    is_error: bool
    duration_ms: int = Field(ge=0)
    files: list[str] | None = Field(
        default=None,
        description="ids of files that the provider's tool made: "
        "`GET /v1/conversations/{conversation}/files/{id}`",
    )


class Retry(_Dated):
    """An attempt failed in a way worth another, which begins in `delay_seconds`."""

    type: Literal["retry"] = "retry"
    step: int = Field(ge=1)
    attempt: int = Field(ge=1, description="the attempt that failed")
    delay_seconds: float = Field(ge=0)
    code: str
    message: MadeText
    request_id: MadeText | None = Field(
        default=None, description="the provider's id of the failed request, for its support"
    )


class Rewind(_Dated):
    """The blocks of this turn from `block` on are void."""

    type: Literal["rewind"] = "rewind"
    block: int = Field(ge=0)


class Retract(_Dated):
    """Turn `from_turn` and all after it are void."""

    type: Literal["retract"] = "retract"
    from_turn: str


class Error(_Dated):
    """Why the turn fails; `done {failed}` follows."""

    type: Literal["error"] = "error"
    code: str
    message: MadeText
    retryable: bool
    retry_after_seconds: float | None = Field(default=None, ge=0)
    request_id: MadeText | None = Field(
        default=None, description="the provider's id of the failed request, for its support"
    )


class TotalUsage(_FinerCounts):
    """Token counts summed over the steps and attempts of a turn."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    input_tokens: int = Field(default=0, ge=0)
    output_tokens: int = Field(default=0, ge=0)
    cache_read_input_tokens: int = Field(default=0, ge=0)
    cache_creation_input_tokens: int = Field(default=0, ge=0)
    estimated: Literal[True] | None = None


class Refusal(BaseModel):
    """Why the model refused, as far as its provider says; `category` is an open set."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    category: MadeText | None = None
    explanation: MadeText | None = None


class Done(_Dated):
    """The one terminal event of a turn."""

    type: Literal["done"] = "done"
    stop_reason: str
    usage: TotalUsage
    steps: int = Field(ge=0)
    duration_ms: int = Field(ge=0)
    cost_usd: float | None = Field(default=None, ge=0)
    refusal: Refusal | None = None
    stop_sequence: str | None = Field(
        default=None, description="the one of the send's that ended the answer"
    )
    output: Annotated[Any, AfterValidator(_finite)] = Field(
        default=None, description="what the answer says, where its send had an `output_format`"
    )


class UnknownEvent(_Event):
    """An event of a later minor version: applied to the cursor, shown to nobody."""

    model_config = ConfigDict(frozen=True, extra="allow")

    type: str
    span: int = Field(default=1, ge=1, exclude_if=lambda span: span == 1)


Delta = Thinking | Token | ToolInput
KnownEvent = Annotated[
    Message
    | Start
    | Step
    | Thinking
    | Token
    | ToolStart
    | ToolInput
    | BlockStop
    | Compaction
    | Usage
    | ToolApproval
    | ToolDecision
    | ToolExecuting
    | ToolProgress
    | ToolResult
    | Retry
    | Rewind
    | Retract
    | Error
    | Done,
    Field(discriminator="type"),
]
Event = KnownEvent | UnknownEvent

KNOWN: TypeAdapter[Any] = TypeAdapter(KnownEvent)
KNOWN_TYPES: frozenset[str] = frozenset(
    model.model_fields["type"].default for model in get_args(get_args(KnownEvent)[0])
)


def parse_event(data: dict[str, Any]) -> Event:
    """An event from its decoded JSON object; one of an unknown type becomes `UnknownEvent`.

    Raises:
        pydantic.ValidationError: a field is missing or of the wrong type.
    """
    if data.get("type") in KNOWN_TYPES:
        event: Event = KNOWN.validate_python(data)
        return event
    return UnknownEvent.model_validate(data)


def text_of(content: Content) -> str:
    """The content for readers of text; where an attachment is, it says so."""
    if isinstance(content, str):
        return content
    return "\n\n".join(
        block.text if isinstance(block, TextBlock) else f"[{block.name or _called(block)}]"
        for block in content
    )


def _called(block: Attachment | Link) -> str:
    return block.target if isinstance(block, ImageLink | DocumentLink) else block.type


def encode(model: BaseModel) -> str:
    """The JSON text of an event, command or reply: absent fields stay absent, no nulls."""
    return model.model_dump_json(exclude_none=True)
