"""What all turns of a service share."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from turnwire_server.core.blobs.blobs import Blobs
from turnwire_server.core.telemetry import NO_TELEMETRY, Tally, Telemetry
from turnwire_server.core.turn.hook_runner import HookRunner
from turnwire_server.core.turn.options import Policy
from turnwire_server.core.turn.prices import list_price
from turnwire_server.core.turn.usage import Price
from turnwire_server.model.port import Model
from turnwire_server.tools.toolset import Toolset

__all__ = ["Services"]


@dataclass(slots=True, frozen=True)
class Services:
    """See above; made once."""

    model: Model
    toolset: Toolset
    policy: Policy
    blobs: Blobs
    hooks: HookRunner = field(default_factory=HookRunner)
    chance: Callable[[], float] = random.random
    has_list_prices: bool = False
    """Whether the model is billed by the list of the Claude API."""
    telemetry: Telemetry = NO_TELEMETRY
    tally: Tally = field(default_factory=Tally)

    def price_of(self, model: str) -> Price | None:
        """What a model costs, as far as that is known: the operator's word comes first."""
        own = self.policy.prices.get(model)
        return list_price(model) if own is None and self.has_list_prices else own
