"""The places where Claude runs, on a port of this machine: their paths, framings and errors.

A front before the simulator, which judges and answers. What a front refuses by itself is what that
place would: a request without its credentials, or with a body in the form of another place.
"""

import functools
import json
import re
import struct
from base64 import b64encode
from binascii import crc32
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import ClientResponse, ClientSession, web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from turnwire_server.model.providers import Provider
from turnwire_simulator import Simulator

__all__ = ["Platforms", "chunk", "environment", "frame", "platforms"]

_CLAUDE = re.compile(r"claude-[a-z0-9-]+?(?=[-@]v?\d+(?::\d+)?$|$)")
_KEY = "fake-key-of-a-test"
_AWS_EXCEPTIONS = {
    "invalid_request_error": "validationException",
    "overloaded_error": "serviceUnavailableException",
    "rate_limit_error": "throttlingException",
    "timeout_error": "modelTimeoutException",
}
_GOOGLE_STATUSES = {400: "INVALID_ARGUMENT", 403: "PERMISSION_DENIED", 429: "RESOURCE_EXHAUSTED"}


def frame(payload: bytes, **headers: str) -> bytes:
    """A frame of AWS's event stream: `message_type="event"` is the header `:message-type`."""
    packed = b""
    for name, value in headers.items():
        key, text = f":{name.replace('_', '-')}".encode(), value.encode()
        packed += bytes((len(key),)) + key + b"\x07" + struct.pack(">H", len(text)) + text
    prelude = struct.pack(">II", 16 + len(packed) + len(payload), len(packed))
    whole = prelude + struct.pack(">I", crc32(prelude)) + packed + payload
    return whole + struct.pack(">I", crc32(whole))


def chunk(event: bytes) -> bytes:
    """An event of the API, as Bedrock sends it: padded, so that its length tells nothing."""
    payload = json.dumps(
        {"bytes": b64encode(event).decode(), "p": "abcdefgh"}, separators=(",", ":")
    )
    return frame(
        payload.encode(),
        event_type="chunk",
        content_type="application/json",
        message_type="event",
    )


def _exception(event: bytes) -> bytes:
    error = json.loads(event)["error"]
    kind = _AWS_EXCEPTIONS.get(error["type"], "internalServerException")
    return frame(
        json.dumps({"message": error["message"]}).encode(),
        exception_type=kind,
        content_type="application/json",
        message_type="exception",
    )


@dataclass
class Platforms:
    """What was asked of the fronts: `paths` and the requests' `headers`, in order."""

    url: str = ""
    paths: list[str] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)


@asynccontextmanager
async def platforms(simulator: Simulator) -> AsyncIterator[Platforms]:
    """All fronts before the simulator, until the context ends."""
    seen = Platforms()
    async with ClientSession() as session:
        front = _Front(session, simulator.url, seen)
        app = web.Application(client_max_size=2**25)
        add = app.router.add_post
        add("/bedrock/model/{model}/invoke-with-response-stream", front.bedrock)
        add("/mantle/anthropic/v1/messages", front.mantle)
        add("/aws/v1/messages", front.aws)
        add(
            "/vertex/v1/projects/{project}/locations/{region}/publishers/anthropic/models/"
            "{model}:streamRawPredict",
            front.vertex,
        )
        add("/google/v1/messages", front.google_cloud)
        add("/foundry/anthropic/v1/messages", front.foundry)
        add("/token", front.token)
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            seen.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield seen
        finally:
            await runner.cleanup()


class _Front:
    def __init__(self, session: ClientSession, upstream: str, seen: Platforms) -> None:
        self._session = session
        self._upstream = upstream
        self._seen = seen

    async def bedrock(self, request: web.Request) -> web.StreamResponse:
        if not request.headers.get("authorization", "").startswith("AWS4-HMAC-SHA256 Credential="):
            return _aws_error(403, "MissingAuthenticationTokenException", "not signed")
        body = await self._body(request)
        if body.keys() & {"model", "stream"} or body.pop("anthropic_version", None) is None:
            return _aws_error(400, "ValidationException", "extraneous key [model]")
        # As a header in the other places.
        betas = ",".join(body.pop("anthropic_beta", []))
        body |= {"model": request.match_info["model"], "stream": True}
        async with self._asked(body, betas) as response:
            if response.status != 200:
                error = (await response.json())["error"]
                kind = _AWS_EXCEPTIONS.get(error["type"], "internalServerException")
                kind = kind[0].upper() + kind[1:]
                return _aws_error(response.status, kind, error["message"])
            answer = web.StreamResponse(
                headers={"content-type": "application/vnd.amazon.eventstream"}
            )
            await answer.prepare(request)
            async for name, data in _events(response):
                framed = _exception(data) if name == b"error" else chunk(data)
                # Cut anywhere: a network knows no frames.
                await answer.write(framed[:17])
                await answer.write(framed[17:])
            return answer

    async def mantle(self, request: web.Request) -> web.StreamResponse:
        signed = request.headers.get("authorization", "").startswith("AWS4-HMAC-SHA256 ")
        return await self._plain(request, admitted=signed)

    async def aws(self, request: web.Request) -> web.StreamResponse:
        named = request.headers.get("anthropic-workspace-id") == "wrkspc_test"
        keyed = request.headers.get("authorization") == f"Bearer {_KEY}"
        return await self._plain(request, admitted=named and keyed)

    async def google_cloud(self, request: web.Request) -> web.StreamResponse:
        admitted = request.headers.get("authorization") == "Bearer fake-token"
        return await self._plain(request, admitted=admitted)

    async def foundry(self, request: web.Request) -> web.StreamResponse:
        return await self._plain(request, admitted=request.headers.get("api-key") == _KEY)

    async def vertex(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("authorization") != "Bearer fake-token":
            return _google_error(401, "no token")
        body = await self._body(request)
        if "model" in body or body.pop("anthropic_version", None) is None:
            return _google_error(400, "model: Extra inputs are not permitted")
        body["model"] = request.match_info["model"]
        async with self._asked(body, request.headers.get("anthropic-beta", "")) as response:
            if response.status != 200:
                error = (await response.json())["error"]
                return _google_error(response.status, error["message"])
            return await _pass_on(request, response)

    async def token(self, request: web.Request) -> web.Response:
        """Google's: it knows whoever signs."""
        token = {"access_token": "fake-token", "expires_in": 3600, "token_type": "Bearer"}
        return web.json_response(token)

    async def _plain(self, request: web.Request, *, admitted: bool) -> web.StreamResponse:
        """The Messages API as it is, behind another door."""
        if not admitted:
            error = {"type": "authentication_error", "message": "who are you"}
            return web.json_response({"type": "error", "error": error}, status=401)
        body = await self._body(request)
        async with self._asked(body, request.headers.get("anthropic-beta", "")) as response:
            return await _pass_on(request, response)

    async def _body(self, request: web.Request) -> dict[str, Any]:
        self._seen.paths.append(request.path)
        self._seen.headers.append(request.headers)
        body: dict[str, Any] = await request.json()
        return body

    @asynccontextmanager
    async def _asked(self, body: dict[str, Any], betas: str) -> AsyncIterator[ClientResponse]:
        """The simulator's answer; it knows models by the API's names."""
        found = _CLAUDE.search(body["model"])
        body["model"] = found[0] if found else body["model"]
        headers = {"x-api-key": "x", **({"anthropic-beta": betas} if betas else {})}
        url = f"{self._upstream}/v1/messages"
        async with self._session.post(url, json=body, headers=headers) as response:
            yield response


async def _pass_on(request: web.Request, response: ClientResponse) -> web.StreamResponse:
    headers = {"content-type": response.headers["content-type"]}
    answer = web.StreamResponse(status=response.status, headers=headers)
    await answer.prepare(request)
    async for chunk in response.content.iter_any():
        await answer.write(chunk)
    return answer


async def _events(response: ClientResponse) -> AsyncIterator[tuple[bytes, bytes]]:
    name = b""
    async for line in response.content:
        if line.startswith(b"event: "):
            name = line[7:].strip()
        elif line.startswith(b"data: "):
            yield name, line[6:].strip()


def _aws_error(status: int, kind: str, message: str) -> web.Response:
    headers = {"x-amzn-errortype": f"{kind}:http://internal.amazon.com/", "x-amzn-requestid": "r-1"}
    return web.json_response({"message": message}, status=status, headers=headers)


def _google_error(status: int, message: str) -> web.Response:
    name = _GOOGLE_STATUSES.get(status, "INTERNAL")
    error = {"code": status, "message": message, "status": name}
    return web.json_response([{"error": error}], status=status)


def environment(provider: Provider, url: str, folder: Path) -> dict[str, str]:
    """The variables with which the SDK's client of that provider finds its front."""
    aws = {
        "AWS_REGION": "eu-test-1",
        "AWS_ACCESS_KEY_ID": "fake-id",
        "AWS_SECRET_ACCESS_KEY": "fake-secret",
    }
    match provider:
        case "anthropic":
            return {"ANTHROPIC_API_KEY": _KEY, "ANTHROPIC_BASE_URL": url}
        case "bedrock":
            return {**aws, "ANTHROPIC_BEDROCK_BASE_URL": f"{url}/bedrock"}
        case "bedrock-mantle":
            return {**aws, "ANTHROPIC_BEDROCK_MANTLE_BASE_URL": f"{url}/mantle/anthropic"}
        case "aws":
            return {
                "ANTHROPIC_AWS_API_KEY": _KEY,
                "ANTHROPIC_AWS_BASE_URL": f"{url}/aws",
                "ANTHROPIC_AWS_WORKSPACE_ID": "wrkspc_test",
                "AWS_REGION": "eu-test-1",
            }
        case "vertex":
            return {
                "ANTHROPIC_VERTEX_BASE_URL": f"{url}/vertex/v1",
                "CLOUD_ML_REGION": "europe-test1",
                "GOOGLE_APPLICATION_CREDENTIALS": _google_account(url, folder),
            }
        case "google-cloud":
            return {
                "ANTHROPIC_GOOGLE_CLOUD_BASE_URL": f"{url}/google",
                "ANTHROPIC_GOOGLE_CLOUD_WORKSPACE_ID": "wrkspc_test",
                "GOOGLE_APPLICATION_CREDENTIALS": _google_account(url, folder),
            }
        case "foundry":
            return {
                "ANTHROPIC_FOUNDRY_API_KEY": _KEY,
                "ANTHROPIC_FOUNDRY_BASE_URL": f"{url}/foundry/anthropic",
            }


@functools.cache
def _google_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def _google_account(url: str, folder: Path) -> str:
    """The file of a service account whose tokens are made at `url`, with a key made for it."""
    file = folder / "account.json"
    account = {
        "type": "service_account",
        "project_id": "project-1",
        "private_key_id": "1",
        "private_key": _google_key(),
        "client_email": "test@project-1.example",
        "client_id": "1",
        "token_uri": f"{url}/token",
    }
    file.write_text(json.dumps(account))
    return str(file)
