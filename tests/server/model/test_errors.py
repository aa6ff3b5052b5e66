"""The table of failures: from what a provider says, in whatever form, to what it means here."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from turnwire_protocol import Code
from turnwire_server.errors import ModelError
from turnwire_server.model.errors import judge
from turnwire_server.model.words import redacted, words_of

NOW = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)


def judged(status: int, body: object, headers: dict[str, str] | None = None) -> ModelError:
    words = words_of(body, status=status, headers=headers)
    return judge(words, headers=headers, expose=True, now=NOW)


def api(kind: str, message: str = "words") -> dict[str, Any]:
    """The Claude API's own form."""
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_b"}


FORMS: dict[str, tuple[int, object, Code]] = {
    "the API's": (400, api("invalid_request_error"), Code.INVALID_REQUEST),
    "the API's in a stream": (200, api("overloaded_error"), Code.OVERLOADED),
    "Bedrock's": (403, {"message": "words"}, Code.PERMISSION_DENIED),
    "Bedrock's with a capital": (500, {"Message": "words"}, Code.INTERNAL),
    "AWS's type": (400, {"__type": "a.b#ThrottlingException", "message": "words"}, Code.RATE_LIMIT),
    "Vertex's array": (
        429,
        [{"error": {"code": 429, "message": "words", "status": "RESOURCE_EXHAUSTED"}}],
        Code.RATE_LIMIT,
    ),
    "FastAPI's detail": (422, {"detail": "words"}, Code.INVALID_REQUEST),
    "FastAPI's list": (422, {"detail": [{"msg": "words", "loc": []}]}, Code.INVALID_REQUEST),
    "an error that is a string": (401, {"error": "words"}, Code.AUTH_ERROR),
    "a string": (404, "words", Code.NOT_FOUND),
    "a list of strings": (404, ["words"], Code.NOT_FOUND),
    "a code without a type": (200, {"error": {"message": "words", "code": 401}}, Code.AUTH_ERROR),
    "a code in letters": (200, {"error": {"message": "words", "code": "429"}}, Code.RATE_LIMIT),
    "a name as its code": (
        400,
        {"error": {"message": "words", "code": "context_length_exceeded"}},
        Code.CONTEXT_TOO_LONG,
    ),
    "a type without a meaning": (503, {"error": {"message": "words", "type": "x"}}, Code.INTERNAL),
    "a page": (502, "<html><head><style>a</style></head> <b>words</b></html>", Code.INTERNAL),
    "a page with a title": (403, "<html><title>words</title>x</html>", Code.PERMISSION_DENIED),
}


@pytest.mark.parametrize(("status", "body", "code"), FORMS.values(), ids=FORMS)
def test_words_and_code_are_found_in_every_form(status: int, body: object, code: Code) -> None:
    error = judged(status, body)
    assert (error.code, error.message) == (code, "words")


@pytest.mark.parametrize("body", [None, "", {}, [], 5, {"error": {}}, {"error": None}, [[]]])
def test_a_body_that_says_nothing_leaves_a_text_of_our_own(body: object) -> None:
    error = judged(529, body)
    assert (error.code, error.message) == (Code.OVERLOADED, "the model is overloaded")


EXCEPTIONS = {
    "internalServerException": Code.INTERNAL,
    "modelStreamErrorException": Code.INTERNAL,
    "modelTimeoutException": Code.TIMEOUT,
    "serviceUnavailableException": Code.OVERLOADED,
    "throttlingException": Code.RATE_LIMIT,
    "validationException": Code.INVALID_REQUEST,
}


@pytest.mark.parametrize(("name", "code"), EXCEPTIONS.items())
def test_an_exception_in_a_stream_of_bedrock_has_its_code(name: str, code: Code) -> None:
    assert judged(200, api(name)).code is code
    header = {"x-amzn-errortype": f"{name[0].upper()}{name[1:]}:http://internal.amazon.com/"}
    assert judged(200, {"message": "words"}, header).code is code


RETRY_AFTER: dict[str, tuple[dict[str, str], float | None]] = {
    "seconds": ({"retry-after": "7"}, 7.0),
    "milliseconds": ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
    "bad milliseconds": ({"retry-after-ms": "soon", "retry-after": "1"}, 1.0),
    "a date": ({"retry-after": "Wed, 25 Nov 2026 12:00:30 GMT"}, 30.0),
    "a date that is past": ({"retry-after": "Wed, 25 Nov 2026 11:00:30 GMT"}, 0.0),
    "a date of no zone": ({"retry-after": "Wed, 25 Nov 2026 12:00:30 -0000"}, 30.0),
    "negative": ({"retry-after": "-3"}, 0.0),
    "infinite": ({"retry-after": "inf"}, None),
    "no number": ({"retry-after": "soon"}, None),
    "none": ({}, None),
}


@pytest.mark.parametrize(("headers", "seconds"), RETRY_AFTER.values(), ids=RETRY_AFTER)
def test_when_to_try_again(headers: dict[str, str], seconds: float | None) -> None:
    assert judged(429, api("rate_limit_error"), headers).retry_after_seconds == seconds


@pytest.mark.parametrize(
    ("status", "kind", "retryable", "retries"),
    [
        (400, "invalid_request_error", False, None),
        (409, "conflict_error", True, 1),
        (424, "ModelErrorException", True, 1),
        (429, "rate_limit_error", True, None),
        (529, "overloaded_error", True, None),
    ],
)
def test_how_many_more_attempts_a_failure_is_worth(
    status: int, kind: str, retryable: bool, retries: int | None
) -> None:
    error = judged(status, api(kind))
    assert (error.retryable, error.max_retries) == (retryable, retries)
    for value in (True, False):
        header = {"x-should-retry": str(value).lower()}
        assert judged(status, api(kind), header).retryable is value


SPENT = [
    (400, "Your credit balance is too low to access the Anthropic API. Go to Plans & Billing."),
    (400, "You have reached your specified API usage limits. You will regain access on 2026-12-01"),
    (429, "This organization has reached its monthly spend limit"),
    (429, "You exceeded your current quota, please check your plan and billing details."),
    (429, "Budget has been exceeded! Current cost: 10.2, Max budget: 10.0"),
    (402, "no more"),
]


@pytest.mark.parametrize(("status", "message"), SPENT)
def test_a_limit_of_spending_is_cured_by_no_retry_and_is_no_fault_of_the_message(
    status: int, message: str
) -> None:
    error = judged(status, {"error": {"message": message}})
    assert (error.code, error.retryable, error.cause) == (Code.PERMISSION_DENIED, False, None)


def test_a_limit_of_spending_is_known_by_its_code() -> None:
    details = {"error_code": "enforced_spend_limit_reached"}
    body = {"error": {"type": "rate_limit_error", "message": "No.", "details": details}}
    assert judged(429, body).retryable is False


def test_a_limit_of_the_day_is_not_waited_for() -> None:
    assert not judged(429, {"message": "Too many tokens per day, please wait"}).retryable
    assert judged(429, {"message": "Number of request tokens per minute exceeded"}).retryable


REFUSALS: dict[str, tuple[int, str, Code, str | None]] = {
    "too long": (
        400,
        "prompt is too long: 210000 tokens > 200000 maximum",
        Code.CONTEXT_TOO_LONG,
        "too_long",
    ),
    "too long with the answer": (
        400,
        "input length and `max_tokens` exceed context limit: 1 + 2 > 3",
        Code.CONTEXT_TOO_LONG,
        "too_long",
    ),
    "too long, says Bedrock": (
        400,
        "Input is too long for requested model.",
        Code.CONTEXT_TOO_LONG,
        "too_long",
    ),
    "too large": (413, "Request exceeds the maximum size", Code.CONTEXT_TOO_LONG, "too_long"),
    "a bad image": (
        400,
        "messages.0.content.1.image.source.base64.data: Could not process image",
        Code.INVALID_REQUEST,
        "attachments",
    ),
    "a large image": (
        400,
        "messages.2.content.0.tool_result.content.0: image exceeds 5 MB maximum",
        Code.INVALID_REQUEST,
        "attachments",
    ),
    "a media type": (
        400,
        "The specified media_type does not match the bytes",
        Code.INVALID_REQUEST,
        "attachments",
    ),
    "a PDF": (400, "A maximum of 100 PDF pages may be provided.", Code.INVALID_REQUEST,
              "attachments"),
    "a document that is too long": (
        413,
        "messages.0.content.1.document: too long",
        Code.CONTEXT_TOO_LONG,
        "attachments",
    ),
    "a thinking block": (
        400,
        "messages.1.content.0: The block is bound to a different conversation",
        Code.INVALID_REQUEST,
        "thinking",
    ),
    "a tool": (400, "tools.0.custom.input_schema.properties.image: bad", Code.INVALID_REQUEST,
               None),
    "a word that only looks like it": (400, "see the documentation", Code.INVALID_REQUEST, None),
    "no such thing": (401, "no image for you", Code.AUTH_ERROR, None),
}  # fmt: skip


@pytest.mark.parametrize(("status", "message", "code", "cause"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_tells_what_of_the_request_it_names(
    status: int, message: str, code: Code, cause: str | None
) -> None:
    error = judged(status, {"error": {"message": message}})
    assert (error.code, error.cause) == (code, cause)
    assert (error.private or {}).get("cause") == cause


@pytest.mark.parametrize(
    ("headers", "body", "id"),
    [
        ({"request-id": "req_h"}, api("api_error"), "req_h"),
        ({"x-amzn-requestid": "a-1"}, {"message": "x"}, "a-1"),
        ({}, api("api_error"), "req_b"),
        ({}, {"message": "x"}, None),
        ({"request-id": "x" * 1000}, None, "x" * 128),
    ],
)
def test_the_request_has_its_id(headers: dict[str, str], body: object, id: str | None) -> None:
    assert judged(500, body, headers).request_id == id


def test_the_private_fields_hold_what_the_provider_said_and_nothing_empty() -> None:
    assert judged(529, api("overloaded_error")).private == {
        "provider": {
            "status": 529,
            "type": "overloaded_error",
            "message": "words",
            "request_id": "req_b",
        }
    }


def test_words_are_bounded_and_stay_on_one_line() -> None:
    message = judged(500, "a\nb\x1b[0m\u2028" + "x" * 100_000).message
    assert message.startswith("a b [0m x")
    assert len(message) == 2000


SECRETS = [
    "sk-ant-api03-AbC_dEf-123",
    "sk-pr********Xyz1",
    "Bearer abc.DEF-1",
    "AKIAIOSFODNN7EXAMPLE",
    "AIzaSyA1234567890abcdefghijk",
    "eyJhbGciOiJI.eyJzdWIiOiIx.c2ln",
    '"api_key": "abcd"',
    "api-key=abcd",
    "password: hunter2",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_what_looks_like_a_secret_is_taken_out(secret: str) -> None:
    text = redacted(f"refused {secret} by us")
    assert text.startswith("refused ")
    assert text.endswith(" by us")
    assert secret.split()[-1].strip('"').split("=")[-1] not in text


def test_what_is_no_secret_stays() -> None:
    for text in ("max_tokens: 5 > 4", "invalid x-api-key", "tokens per minute: 100", "risk-averse"):
        assert redacted(text) == text


def test_the_date_of_a_retry_is_counted_from_now() -> None:
    words = words_of(None, status=429)
    headers = {"retry-after": "Wed, 25 Nov 2026 12:00:30 GMT"}
    later = NOW + timedelta(seconds=10)
    assert judge(words, headers=headers, expose=False, now=later).retry_after_seconds == 20.0
