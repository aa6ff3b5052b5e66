"""What observers say of the place where the model is."""

from dataclasses import dataclass

__all__ = ["Upstream"]


@dataclass(slots=True, frozen=True, kw_only=True)
class Upstream:
    """`provider` is OpenTelemetry's name (`gen_ai.provider.name`)."""

    provider: str
    host: str
    port: int
