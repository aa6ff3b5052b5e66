"""What schemathesis is told of the service, in its own process: see `test_schemathesis.py`."""

import hashlib
import os
from typing import Any

import schemathesis
from schemathesis import Case, HookContext, Response
from schemathesis.core.failures import Failure

__all__: list[str] = []

CONVERSATIONS = os.environ["CONVERSATIONS"].split()
"""Some that are there, until they are deleted."""

DEPENDS = (
    # Which models, tools and blobs there are.
    "model: not one of",
    "tools: this server has no tool",
    ".blob: no such blob",
    # What clients may choose, here and of this model.
    "this server does not let clients choose it",
    "this server takes uploads only",
    "links are taken in messages only",
    "tool_choice: there is no tool to call",
    "tool_choice.name: no tool",
    "claude-sonnet-5-5 does not take",
    # What makes a schema a tool's, or an output's.
    ".input_schema: ",
    "output_format.schema",
    # What one part says about another.
    "Last-Event-ID: goes with a key only",
    "Last-Event-ID: is of another conversation",
    "key: differs from the Idempotency-Key header",
    "input: goes with allow only",
    "thinking.budget_tokens: required",
    "the API does not take it with thinking",
    "top_p: not together with temperature",
    "citations: not together with output_format",
    # What the schema says and schemathesis does not keep to (the pattern of a header), or says in
    # another way: no `1.0` for an integer (PROTOCOL.md), text beyond white space.
    "Last-Event-ID: not of the form",
    "Input should be a valid integer",
    "text that is not only white space is required",
)
"""Why a request that is as the document says may be refused with 400 all the same."""


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Have half of all questions be about conversations that are there. The stream of one has no
    end, so it is never asked for.
    """
    if "conversation" not in case.path_parameters:
        return
    digest = hashlib.sha256(repr(case.path_parameters).encode()).digest()
    if case.path.endswith("/events"):
        case.path_parameters["conversation"] = "c_none"
    elif digest[0] % 2:
        case.path_parameters["conversation"] = CONVERSATIONS[digest[1] % len(CONVERSATIONS)]


@schemathesis.hook
def filter_failure(
    context: HookContext, failure: Failure, case: Case[Any], response: Response
) -> bool:
    """Whether it is one."""
    is_refusal = response.status_code == 400 and "Schema-valid request rejected" in failure.title
    return not (is_refusal and any(reason in response.text for reason in DEPENDS))
