"""What each family is asked for: a wish for thinking in the form it knows, within its lengths."""

from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwire_protocol import Effort, ThinkingOption, ToolChoice
from turnwire_server.model.families import ModelOptions, fitted, lacks
from turnwire_server.model.port import ModelRequest
from turnwire_server.model.request import RequestForm
from turnwire_simulator import Rejected
from turnwire_simulator.strict import judge

ADAPTIVE = {"type": "adaptive", "display": "summarized"}
BUDGET = {"type": "enabled", "budget_tokens": 2000}
DISABLED = {"type": "disabled"}


def asked(
    model: str,
    thinking: dict[str, Any] | None,
    *,
    max_tokens: int = 16_384,
    **options: ModelOptions,
) -> ModelRequest:
    messages: Any = [{"role": "user", "content": "Hi"}]
    wish = ModelRequest(model, messages, max_tokens=max_tokens, thinking=thinking)
    return fitted(wish, {name.replace("_", "-"): option for name, option in options.items()})


def budget(tokens: int, **more: Any) -> dict[str, Any]:
    return {"type": "enabled", "budget_tokens": tokens, **more}


TABLE: list[tuple[str, dict[str, Any], dict[str, Any] | None]] = [
    ("claude-sonnet-5-5", ADAPTIVE, ADAPTIVE),
    ("claude-sonnet-5-5", BUDGET, {"type": "adaptive"}),
    ("claude-sonnet-5-5", DISABLED, {"type": "between_tools"}),
    ("claude-sonnet-5", DISABLED, DISABLED),
    ("claude-opus-5", DISABLED, DISABLED),
    ("claude-opus-5-5", DISABLED, None),
    (
        "claude-fable-5-2",
        budget(1024, display="omitted"),
        {"type": "adaptive", "display": "omitted"},
    ),
    ("claude-opus-4-8", BUDGET, {"type": "adaptive"}),
    ("claude-opus-4-6", BUDGET, BUDGET),
    ("claude-opus-4-6", ADAPTIVE, ADAPTIVE),
    ("claude-haiku-4-5", ADAPTIVE, budget(8192)),
    (
        "claude-haiku-4-5",
        {"type": "adaptive", "display": "omitted"},
        budget(8192, display="omitted"),
    ),
    ("claude-haiku-4-5-20251001", BUDGET, BUDGET),
    ("claude-haiku-4-5", DISABLED, DISABLED),
    ("claude-opus-4-20250514", ADAPTIVE, budget(8192)),
    ("claude-3-7-sonnet-20250219", ADAPTIVE, budget(8192)),
    ("claude-3-5-haiku-20241022", ADAPTIVE, None),
    ("us.anthropic.claude-haiku-4-5-20251001-v1:0", ADAPTIVE, budget(8192)),
    ("anthropic/claude-haiku-4.5", ADAPTIVE, budget(8192)),
    ("claude-haiku-4-5@20251001", ADAPTIVE, budget(8192)),
    ("somebodys-model", ADAPTIVE, ADAPTIVE),
    ("somebodys-model", BUDGET, BUDGET),
]


@pytest.mark.parametrize(("model", "wish", "form"), TABLE)
def test_a_wish_takes_the_form_its_model_knows(
    model: str, wish: dict[str, Any], form: dict[str, Any] | None
) -> None:
    assert asked(model, wish).thinking == form


@pytest.mark.parametrize(
    ("max_tokens", "form"),
    [
        (100_000, budget(10_000)),
        (3000, budget(1500)),
        (1500, budget(1024)),
        (1025, budget(1024)),
        (1024, DISABLED),
        (1, DISABLED),
    ],
)
def test_a_budget_leaves_room_for_the_answer(max_tokens: int, form: dict[str, Any]) -> None:
    assert asked("claude-haiku-4-5", ADAPTIVE, max_tokens=max_tokens).thinking == form


def test_an_answer_is_as_long_as_its_model_can_give() -> None:
    request = asked("claude-3-5-haiku-latest", None, max_tokens=100_000)
    assert request.max_tokens == 8192
    assert asked("claude-sonnet-5-5", None, max_tokens=100_000).max_tokens == 100_000
    thought = asked("claude-opus-4-1", budget(50_000), max_tokens=100_000)
    assert (thought.max_tokens, thought.thinking) == (32_000, budget(31_999))


FORMS = (ADAPTIVE, BUDGET, DISABLED, {"type": "adaptive"}, budget(63_000), budget(1024), None)
MODELS = sorted({model for model, _, _ in TABLE if model.startswith("claude-")})
CHOICES = [None, *(ToolChoice(type=kind) for kind in ("auto", "any", "none"))]
TOOL: Any = {"name": "t", "description": "", "input_schema": {"type": "object"}}
SCHEMA = {"type": "object", "properties": {}, "additionalProperties": False}


@given(
    model=st.sampled_from(MODELS),
    thinking=st.sampled_from(FORMS),
    max_tokens=st.integers(1, 200_000),
    effort=st.sampled_from([None, *get_args(Effort)]),
    temperature=st.sampled_from([None, 0.0, 1.0]),
    top_p=st.sampled_from([None, 0.5]),
    top_k=st.sampled_from([None, 3]),
    tool_choice=st.sampled_from(CHOICES),
    output_schema=st.sampled_from([None, SCHEMA]),
)
def test_no_model_refuses_what_it_is_asked_for(model: str, **wishes: Any) -> None:
    messages: Any = [{"role": "user", "content": "Hi"}]
    wish = ModelRequest(model, messages, tools=[TOOL], **wishes)
    form = RequestForm(model_options={"claude-": ModelOptions(effort="low")})
    body = form.parameters(wish)
    body |= body.pop("extra_body", {})
    try:
        judge(body)
    except Rejected as rejected:
        pytest.fail(rejected.message)


EFFORTS: list[tuple[str, Effort, Effort | None]] = [
    ("claude-haiku-4-5", "low", None),
    ("claude-opus-4-5", "max", "high"),
    ("claude-opus-4-6", "xhigh", "high"),
    ("claude-opus-4-6", "max", "max"),
    ("claude-sonnet-5-5", "xhigh", "xhigh"),
    ("somebodys-model", "xhigh", "xhigh"),
]


@pytest.mark.parametrize(("model", "wish", "form"), EFFORTS)
def test_effort_is_the_highest_level_known_that_was_wished_for(
    model: str, wish: Effort, form: Effort | None
) -> None:
    request = ModelRequest(model, [], max_tokens=100, effort=wish)
    assert fitted(request, {}).effort == form


def test_the_wish_of_a_client_goes_before_that_of_the_operator() -> None:
    request = ModelRequest("claude-opus-5", [], max_tokens=100)
    options = {"claude-opus": ModelOptions(effort="low")}
    assert fitted(request, options, "max").effort == "low"
    assert fitted(request, {}, "max").effort == "max"
    assert fitted(replace(request, effort="high"), options, "max").effort == "high"


LACKS: list[tuple[str, set[str]]] = [
    ("claude-haiku-4-5", set()),
    ("claude-3-5-haiku-latest", {"output_format"}),
    ("claude-opus-4-8", {"temperature", "top_p", "top_k"}),
    ("claude-opus-5-5", {"temperature", "top_p", "top_k", "tool_choice"}),
    ("us.anthropic.claude-sonnet-5-5", {"temperature", "top_p", "top_k", "tool_choice"}),
    ("somebodys-model", set()),
]


@pytest.mark.parametrize(("model", "missing"), LACKS)
def test_what_a_model_does_not_take_is_known_before_it_is_asked(
    model: str, missing: set[str]
) -> None:
    assert lacks(model) == missing


def option(**fields: Any) -> ModelOptions:
    return ModelOptions.model_validate(fields)


def test_the_operator_knows_better() -> None:
    fixed = option(thinking=budget(4000), max_tokens=8000, effort="low")
    request = asked("my-model", ADAPTIVE, my_model=fixed)
    assert (request.thinking, request.max_tokens, request.effort) == (budget(4000), 8000, "low")
    # What a client asks for in the form that the model knows is its own.
    assert asked("my-model", BUDGET, my_model=fixed).thinking == BUDGET
    assert asked("my-model", DISABLED, my_model=fixed).thinking == DISABLED
    assert asked("my-model", BUDGET, my_model=option(thinking="none")).thinking is None
    adaptive = option(thinking={"type": "adaptive"})
    assert asked("my-model", BUDGET, my_model=adaptive).thinking == {"type": "adaptive"}


def test_the_longest_beginning_of_a_name_counts() -> None:
    def effort(model: str) -> str | None:
        low, max = option(effort="low"), option(effort="max")
        return asked(model, None, claude=low, claude_sonnet_5=max).effort

    assert effort("claude-sonnet-5-5") == "max"
    assert effort("claude-opus-4-8") == "low"
    assert effort("claudette") is None


def test_effort_is_asked_only_of_models_that_know_it() -> None:
    assert asked("claude-haiku-4-5", None, claude=option(effort="low")).effort is None


def test_thinking_is_typed() -> None:
    assert option(thinking=ADAPTIVE).thinking == ThinkingOption(**ADAPTIVE)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="thinking"):
        option(thinking="sometimes")
