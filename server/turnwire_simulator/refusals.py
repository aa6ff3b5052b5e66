"""Remembers turns that were answered with a refusal, which must leave the context; knows no HTTP.

Source: https://docs.claude.com/en/docs/test-and-evaluate/strengthen-guardrails/handle-streaming-refusals
"""

import json
from collections import OrderedDict

from turnwire_simulator.blocks import ApiObject
from turnwire_simulator.errors import Rejected
from turnwire_simulator.prompt_cache import blocks_of

__all__ = ["Refusals"]

MAX_REFUSALS = 1024


class Refusals:
    """The last messages of refused requests, newest kept; an answer to one forgives it."""

    def __init__(self) -> None:
        self._refused: OrderedDict[str, None] = OrderedDict()

    def note(self, body: ApiObject, *, refused: bool) -> None:
        """Records how a valid request was answered."""
        last = _key(body["messages"][-1])
        self._refused.pop(last, None)
        if refused:
            self._refused[last] = None
            while len(self._refused) > MAX_REFUSALS:
                self._refused.popitem(last=False)

    def judge(self, body: ApiObject) -> None:
        """Raises `Rejected` when a refused message comes again with more after it."""
        for number, message in enumerate(body["messages"][:-1]):
            if self._refused and _key(message) in self._refused:
                raise Rejected(f"messages.{number}: this turn was refused; remove it to continue")


def _key(message: ApiObject) -> str:
    blocks = [
        {name: value for name, value in block.items() if name != "cache_control"}
        for block in blocks_of(message["content"])
    ]
    return json.dumps([message["role"], blocks], sort_keys=True)
