"""What the server says on a connection and writes into no log."""

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from turnwire_protocol.codes import PROTOCOL

__all__ = [
    "Ack",
    "Closed",
    "GoingAway",
    "Limits",
    "Pong",
    "Reject",
    "Reply",
    "Reset",
    "Welcome",
    "parse_reply",
]


class _Open(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Limits(_Open):
    """What the server bounds; sizes in bytes of UTF-8."""

    max_frame_bytes: int
    max_subscriptions: int
    max_running_turns: int
    max_commands_per_second: int
    max_blob_bytes: int | None = None


class Welcome(_Open):
    """The first message: commands may follow."""

    type: Literal["welcome"] = "welcome"
    protocol: str = PROTOCOL
    limits: Limits
    models: list[str]
    client_options: list[str] | None = None
    heartbeat_seconds: float
    demo: bool | None = None


class Ack(_Open):
    """The command took effect. Which fields are present depends on the command."""

    type: Literal["ack"] = "ack"
    id: str
    conversation: str | None = None
    turn: str | None = None
    seq: int | None = None
    epoch: str | None = None
    after: int | None = None
    head: int | None = None
    outcome: Literal["cancelling", "queued_removed", "already_done"] | None = None


class Reject(_Open):
    """The command took no effect. `id` is absent only where the command had no usable one."""

    type: Literal["reject"] = "reject"
    id: str | None = None
    code: str
    message: str
    retryable: bool
    retry_after_seconds: float | None = None


class Pong(_Open):
    """The answer to `ping`."""

    type: Literal["pong"] = "pong"
    id: str


class Reset(_Open):
    """Your cursor is not in this log: drop the conversation, it is replayed from the start."""

    type: Literal["reset"] = "reset"
    conversation: str
    epoch: str
    reason: str


class Closed(_Open):
    """A subscription has ended."""

    type: Literal["closed"] = "closed"
    conversation: str
    code: str
    retryable: bool


class GoingAway(_Open):
    """The server drains: start nothing, keep reading until 1012, then reconnect."""

    type: Literal["going_away"] = "going_away"
    reconnect_after_seconds: float


Reply = Annotated[
    Welcome | Ack | Reject | Pong | Reset | Closed | GoingAway, Field(discriminator="type")
]
REPLY: TypeAdapter[Any] = TypeAdapter(Reply)
REPLY_TYPES: frozenset[str] = frozenset(
    model.model_fields["type"].default for model in get_args(get_args(Reply)[0])
)


def parse_reply(data: dict[str, Any]) -> Reply:
    """A reply from its decoded JSON object.

    Raises:
        pydantic.ValidationError: unknown type, or a field is missing or malformed.
    """
    reply: Reply = REPLY.validate_python(data)
    return reply
