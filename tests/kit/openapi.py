"""The OpenAPI document as a judge: is what was answered what it says? It knows no endpoint."""

import functools
import json
import re
from typing import Any

import httpx2
from jsonschema import Draft202012Validator

from tests.kit.sse import Sent
from turnwire_server import Turnwire, create_app

__all__ = ["Document", "documented"]

TOKEN = "a-shared-token"


class Document:
    """One service's document."""

    def __init__(self, openapi: dict[str, Any]) -> None:
        self.openapi = openapi
        self.operations: dict[tuple[str, str], dict[str, Any]] = {
            (method.upper(), path): operation
            for path, operations in openapi["paths"].items()
            for method, operation in operations.items()
        }
        self._patterns = {
            operation: re.compile(re.sub(r"\{\w+\}", "[^/]+", operation[1]))
            for operation in self.operations
        }

    def operation_of(self, request: httpx2.Request) -> tuple[str, str] | None:
        """(method, path) of the operation that was asked, or None: it is none of these."""
        path = request.url.raw_path.decode().partition("?")[0]
        # The one with the fewest parameters, as the service sees it too.
        for operation in sorted(self.operations, key=lambda operation: operation[1].count("{")):
            if operation[0] == request.method and self._patterns[operation].fullmatch(path):
                return operation
        return None

    def media_type(self, response: httpx2.Response) -> dict[str, Any] | None:
        """The Media Type Object of the answer; None where it says that there is no body."""
        operation = self.operation_of(response.request)
        assert operation is not None, response.request.url
        answers = self.operations[operation]["responses"]
        where = (*operation, response.status_code)
        assert str(response.status_code) in answers, where
        content: dict[str, Any] = answers[str(response.status_code)].get("content", {})
        given = response.headers.get("content-type", "").partition(";")[0]
        assert given in content or not (given or content), (where, given)
        return content.get(given)

    async def judge(self, response: httpx2.Response) -> None:
        """Fails the test if an operation answered what is not documented: `default` does not count.

        A stream is not read: see `judge_event`.
        """
        if self.operation_of(response.request) is None:
            return
        media_type = self.media_type(response)
        if response.headers.get("content-type", "") == "application/json":
            assert media_type is not None
            self._validate(json.loads(await response.aread()), media_type["schema"])

    def judge_event(self, response: httpx2.Response, sent: Sent) -> None:
        """The same of an event of a stream."""
        media_type = self.media_type(response)
        assert media_type is not None
        item = media_type["itemSchema"]
        data = item["properties"]["data"]
        assert (data["type"], data["contentMediaType"]) == ("string", "application/json")
        fields = {"event": sent.type, "data": json.dumps(sent.data)}
        self._validate(fields | ({"id": sent.id} if sent.id else {}), item)
        self._validate(sent.data, data["contentSchema"])

    def _validate(self, value: object, schema: dict[str, Any]) -> None:
        rooted = {**schema, "components": self.openapi["components"]}
        Draft202012Validator(rooted).validate(value)


@functools.cache
def documented() -> Document:
    """The document of a service with a token, which has all that one without has; the wires are
    judged where their own tests are."""
    return Document(create_app(Turnwire(token=TOKEN, wires=[])).openapi())
