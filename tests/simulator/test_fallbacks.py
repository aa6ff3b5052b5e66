"""What the simulator makes of requests that name models in another's place."""

from typing import Any

import pytest

from turnwire_simulator import Rejected
from turnwire_simulator.strict import judge

BETAS = {"server-side-fallback-2026-07-01"}
HI: dict[str, Any] = {"role": "user", "content": "Hi"}
GAVE_WAY = {"type": "fallback", "from": {"model": "claude-a"}, "to": {"model": "claude-b"}}
TEXT = {"type": "text", "text": "Hi"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "t", "input": {}}


def body(**fields: Any) -> dict[str, Any]:
    return {"model": "claude-opus-5", "max_tokens": 10, "messages": [HI], **fields}


@pytest.mark.parametrize("fallbacks", ["default", [{"model": "claude-b", "max_tokens": 3}], []])
def test_fallbacks_are_taken_with_their_beta_only(fallbacks: Any) -> None:
    judge(body(fallbacks=fallbacks), BETAS)
    with pytest.raises(Rejected, match="Extra inputs"):
        judge(body(fallbacks=fallbacks))


@pytest.mark.parametrize(
    "fallbacks",
    ["best", ["claude-b"], [{}], [{"model": "claude-b", "top_p": 1}], [{"model": "claude-opus-5"}],
     [{"model": "claude-b"}, {"model": "claude-b"}]],
)  # fmt: skip
def test_other_forms_are_refused(fallbacks: Any) -> None:
    with pytest.raises(Rejected, match="fallbacks"):
        judge(body(fallbacks=fallbacks), BETAS)


def test_an_older_model_knows_none() -> None:
    with pytest.raises(Rejected, match="does not support fallbacks"):
        judge(body(model="claude-sonnet-4-5", fallbacks="default"), BETAS)


def test_what_the_model_that_gave_way_called_must_not_come_back() -> None:
    judge(body(messages=[HI, {"role": "assistant", "content": [TEXT, GAVE_WAY, TEXT]}, HI]))
    with pytest.raises(Rejected, match="before a `fallback` block"):
        judge(body(messages=[HI, {"role": "assistant", "content": [CALL, GAVE_WAY, TEXT]}, HI]))
