"""Who is let in, by every door: hosts, origins, tokens, principals."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from starlette.requests import HTTPConnection
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.kit.service import by_name, serving, turnwire_over
from tests.kit.sse import asking
from tests.kit.wire import opened, wired
from turnwire_server import create_app
from turnwire_server.errors import Rejected
from turnwire_server.transports.access import Access
from turnwire_simulator import Simulator

TOKEN = "a-shared-secret"
BEARER = {"Authorization": f"Bearer {TOKEN}"}

FOREIGN = {
    "foreign origin": {"Origin": "https://evil.example"},
    "null origin": {"Origin": "null"},
    "cross-site fetch": {"Sec-Fetch-Site": "cross-site"},
    "same-site fetch": {"Sec-Fetch-Site": "same-site"},
}
STRANGE = {
    "rebound name": {"Host": "evil.example"},
    "forwarded": {"X-Forwarded-For": "10.0.0.1"},
    "forwarded host": {"Forwarded": "for=10.0.0.1"},
}
ALL = {**FOREIGN, **STRANGE}


@pytest.fixture
async def guarded(simulator: Simulator) -> AsyncIterator[str]:
    """A service with a token and little patience."""
    turnwire = turnwire_over(simulator, token=TOKEN, limits={"hello_timeout_seconds": 5})
    async with serving(turnwire) as address:
        yield address


@pytest.fixture
async def shared(simulator: Simulator) -> AsyncIterator[str]:
    """A service of Anna and Bert."""
    async with serving(turnwire_over(simulator, authenticate=by_name)) as address:
        yield address


def endpoints(simulator: Simulator) -> list[tuple[str, str]]:
    """(method, path) of every documented endpoint whose errors are JSON with a code."""
    app = create_app(turnwire_over(simulator, wires=["openai"]))
    paths: dict[str, dict[str, Any]] = app.openapi()["paths"]
    return [
        (method.upper(), path.format(conversation="c_none", blob="b_none", file="f", model="none"))
        for path, operations in paths.items()
        for method in operations
    ]


async def ask_every_endpoint(
    http: httpx2.AsyncClient, simulator: Simulator, headers: dict[str, str]
) -> dict[str, tuple[int, str]]:
    """Status and error code of every endpoint, asked with these headers."""
    answers = {}
    for method, path in endpoints(simulator):
        response = await http.request(method, path, headers=headers)
        code = response.json()["error"]["code"] if response.status_code >= 400 else ""
        answers[f"{method} {path}"] = (response.status_code, code)
    assert len(answers) >= 10
    return answers


@pytest.mark.parametrize("headers", ALL.values(), ids=ALL)
async def test_every_endpoint_refuses(
    http: httpx2.AsyncClient, simulator: Simulator, headers: dict[str, str]
) -> None:
    answers = await ask_every_endpoint(http, simulator, headers)
    assert set(answers.values()) == {(403, "permission_denied")}


@pytest.mark.parametrize("headers", ALL.values(), ids=ALL)
async def test_the_websocket_is_refused_before_accept(
    address: str, headers: dict[str, str]
) -> None:
    url_host = headers.get("Host")
    rest = {name: value for name, value in headers.items() if name != "Host"}
    options: dict[str, Any] = {"additional_headers": rest, "proxy": None}
    if url_host is not None:
        # The name resolves to us: that is what DNS rebinding does.
        host, port = address.split(":")
        options |= {"host": host, "port": int(port)}
        address = f"{url_host}:{port}"
    with pytest.raises(InvalidStatus) as refused:
        async with opened(address, **options):
            pass
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize("headers", STRANGE.values(), ids=STRANGE)
async def test_the_page_is_not_served_to_strange_hosts(
    http: httpx2.AsyncClient, headers: dict[str, str]
) -> None:
    assert (await http.get("/", headers=headers)).status_code == 403


async def test_the_own_origin_is_let_in(address: str, http: httpx2.AsyncClient) -> None:
    own = {"Origin": f"http://{address}", "Sec-Fetch-Site": "same-origin"}
    assert (await http.get("/v1/conversations", headers=own)).status_code == 200
    async with wired(address, additional_headers=own):
        pass


async def test_without_a_token_every_endpoint_but_the_probes_is_unauthorized(
    guarded: str, simulator: Simulator
) -> None:
    async with asking(guarded) as http:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}):
            answers = await ask_every_endpoint(http, simulator, headers)
            assert answers.pop("GET /health") == (200, "")
            assert answers.pop("GET /ready") == (200, "")
            assert set(answers.values()) == {(401, "unauthorized")}
        response = await http.get("/v1/conversations")
        assert response.headers["www-authenticate"] == "Bearer"
        assert (await http.get("/v1/conversations", headers=BEARER)).status_code == 200


async def test_a_token_in_the_query_counts_for_nothing(guarded: str) -> None:
    async with asking(guarded) as http:
        response = await http.get("/v1/conversations", params={"token": TOKEN})
        assert response.status_code == 401


async def test_with_a_token_a_forwarded_request_of_any_host_is_served(guarded: str) -> None:
    headers = {**BEARER, "Host": "chat.example", "X-Forwarded-For": "10.0.0.1"}
    async with asking(guarded) as http:
        assert (await http.get("/v1/conversations", headers=headers)).status_code == 200


async def test_a_valid_hello_is_welcomed(guarded: str) -> None:
    async with opened(guarded) as wire:
        await wire.send("hello", token=TOKEN)
        assert (await wire.receive())["type"] == "welcome"


async def test_the_authorization_header_makes_hello_unnecessary(guarded: str) -> None:
    async with opened(guarded, additional_headers=BEARER) as wire:
        assert (await wire.receive())["type"] == "welcome"


async def test_a_wrong_token_closes_with_4501(guarded: str) -> None:
    async with opened(guarded) as wire:
        await wire.send("hello", token="wrong")
        assert await wire.closed() == 4501


async def test_no_hello_in_time_closes_with_4501(simulator: Simulator) -> None:
    turnwire = turnwire_over(simulator, token=TOKEN, limits={"hello_timeout_seconds": 0.05})
    async with serving(turnwire) as address, opened(address) as wire:
        assert await wire.closed() == 4501


async def test_commands_before_hello_are_unauthorized_and_hello_still_works(guarded: str) -> None:
    async with opened(guarded) as wire:
        for type, fields in (("ping", {}), ("send", {"content": "hi"})):
            reject = await wire.ask(type, **fields)
            assert (reject["type"], reject["code"]) == ("reject", "unauthorized")
        assert (await wire.ask("hello"))["code"] == "bad_command"
        await wire.send("hello", token=TOKEN)
        assert (await wire.receive())["type"] == "welcome"


@pytest.mark.parametrize(("frame", "code"), [("[]", 4500), ("x" * 4097, 1009), (b"x", 4500)])
async def test_a_bad_frame_before_hello_closes(guarded: str, frame: str | bytes, code: int) -> None:
    async with opened(guarded) as wire:
        await wire.send_raw(frame)
        assert await wire.closed() == code


async def test_allowed_origins_are_let_in_everywhere(simulator: Simulator) -> None:
    origin = "https://app.example"
    turnwire = turnwire_over(simulator, allow_origins=[origin + "/"])
    async with serving(turnwire) as address, asking(address) as http:
        headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
        response = await http.get("/v1/conversations", headers=headers)
        assert response.status_code == 200
        assert response.headers["access-control-allow-origin"] == origin
        missing = await http.get("/v1/conversations/c_none", headers=headers)
        assert missing.headers["access-control-allow-origin"] == origin
        async with wired(address, additional_headers=headers):
            pass
        other = await http.get("/v1/conversations", headers={"Origin": "https://evil.example"})
        assert other.status_code == 403
        assert "access-control-allow-origin" not in other.headers


async def test_a_preflight_is_answered_for_allowed_origins_only(simulator: Simulator) -> None:
    turnwire = turnwire_over(simulator, allow_origins=["https://app.example"])
    async with serving(turnwire) as address, asking(address) as http:
        asked = {"Access-Control-Request-Method": "POST"}
        response = await http.options(
            "/v1/chat", headers={"Origin": "https://app.example", **asked}
        )
        assert response.status_code == 204
        assert response.headers["access-control-allow-origin"] == "https://app.example"
        assert "POST" in response.headers["access-control-allow-methods"]
        allowed = response.headers["access-control-allow-headers"].lower()
        assert {"authorization", "content-type", "idempotency-key", "last-event-id"} <= set(
            allowed.split(", ")
        )
        wanted = {"Access-Control-Request-Headers": "authorization,x-of-a-wire"}
        for path in ("/v1/ai-sdk/v7/chat", "/v1/ag-ui", "/openai/v1/chat/completions"):
            response = await http.options(
                path, headers={"Origin": "https://app.example", **asked, **wanted}
            )
            assert response.headers["access-control-allow-headers"] == "authorization,x-of-a-wire"
        foreign = await http.options(
            "/v1/chat", headers={"Origin": "https://evil.example", **asked, **wanted}
        )
        assert "access-control-allow-headers" not in foreign.headers
        assert foreign.status_code == 403


async def test_another_principals_conversation_is_an_unknown_one_to_every_command(
    shared: str,
) -> None:
    async with wired(shared, hello="anna") as anna, wired(shared, hello="bert") as bert:
        ack = await anna.ask("send", content="private")
        await anna.until("done")
        for type, fields in {
            "send": {"content": "hi"},
            "subscribe": {},
            "cancel": {"turn": ack["turn"]},
            "decide": {"tool_id": "x", "decision": "allow"},
            "tool_output": {"tool_id": "x", "runner": "me", "content": "y"},
        }.items():
            foreign = await bert.ask(type, conversation=ack["conversation"], **fields)
            unknown = await bert.ask(type, conversation="c_none", **fields)
            assert foreign["code"] == "unknown_conversation"
            assert {**foreign, "id": ""} == {**unknown, "id": ""}
        assert bert.events == []


async def test_another_principals_conversation_is_an_unknown_one_to_every_endpoint(
    shared: str, simulator: Simulator
) -> None:
    bodies = {
        "cancel": {"turn": "t_none"},
        "decide": {"tool_id": "x", "decision": "allow"},
        "tool_output": {"tool_id": "x", "runner": "me", "content": "y"},
        "progress": {"tool_id": "x", "runner": "me", "message": "y"},
        "c_none": {"title": "mine now"},
    }
    async with wired(shared, hello="anna") as anna, asking(shared) as http:
        http.headers["Authorization"] = "Bearer bert"
        conversation = (await anna.ask("send", content="private"))["conversation"]
        await anna.until("done")
        asked = 0
        for method, path in endpoints(simulator):
            if "c_none" not in path:
                continue
            body = bodies.get(path.rpartition("/")[2]) if method in ("POST", "PATCH") else None
            unknown = await http.request(method, path, json=body)
            foreign = await http.request(method, path.replace("c_none", conversation), json=body)
            assert unknown.status_code == 404, path
            assert unknown.json()["error"]["code"] == "unknown_conversation"
            assert (foreign.status_code, foreign.text) == (unknown.status_code, unknown.text)
            asked += 1
        assert asked >= 6
        for id in (conversation, "c_none"):
            response = await http.post("/v1/chat", json={"content": "hi", "conversation": id})
            assert response.status_code == 404
        assert (await http.get("/v1/conversations")).json() == {"conversations": []}


async def test_the_same_key_of_two_principals_is_two_conversations(shared: str) -> None:
    async with wired(shared, hello="anna") as anna, wired(shared, hello="bert") as bert:
        one = await anna.ask("send", content="hi", key="k")
        two = await bert.ask("send", content="hi", key="k")
        assert one["conversation"] != two["conversation"]


# Hosts by name


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("chat.example", 200),
        ("CHAT.example:8443", 200),
        ("a.b.wide.example", 200),
        ("wide.example", 403),
        ("evil-wide.example", 403),
        ("evil.example", 403),
        ("[", 403),
        ("localhost", 200),
        ("127.0.0.1:8000", 200),
    ],
)
async def test_with_names_given_others_are_refused_whoever_asks(
    simulator: Simulator, host: str, status: int
) -> None:
    turnwire = turnwire_over(
        simulator, authenticate=by_name, allow_hosts=["chat.example", "*.wide.example"]
    )
    async with serving(turnwire) as address, asking(address) as http:
        headers = {"Host": host, "Authorization": "Bearer anna"}
        assert (await http.get("/v1/conversations", headers=headers)).status_code == status


async def test_a_socket_that_asks_by_another_name_is_refused(simulator: Simulator) -> None:
    turnwire = turnwire_over(simulator, authenticate=by_name, allow_hosts=["chat.example"])
    async with serving(turnwire) as address:
        host, port = address.split(":")
        at: dict[str, Any] = {"host": host, "port": int(port), "proxy": None}
        async with connect("ws://chat.example/v1/ws", **at):
            pass
        with pytest.raises(InvalidStatus) as refused:
            await connect("ws://evil.example/v1/ws", **at)
    assert refused.value.response.status_code == 403


async def test_without_names_any_host_will_do_for_who_has_credentials(
    simulator: Simulator,
) -> None:
    turnwire = turnwire_over(simulator, authenticate=by_name)
    async with serving(turnwire) as address, asking(address) as http:
        headers = {"Host": "any.example", "Authorization": "Bearer anna"}
        assert (await http.get("/v1/conversations", headers=headers)).status_code == 200


async def test_what_is_refused_is_a_line_in_the_log_with_the_remedy_and_not_a_flood(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = 0.0
    access = Access(allow_origins=["https://app.example"], now=lambda: now)

    def ask(**headers: str) -> None:
        named = [(name.encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "client": ("127.0.0.1", 1), "headers": named}
        connection = HTTPConnection(scope)
        check = access.check_origin if "origin" in headers else access.check_host
        with pytest.raises(Rejected):
            check(connection)

    for _ in range(100):
        ask(host="localhost", origin="https://evil.example")
    assert len(caplog.records) == 1
    assert "allow_origins" in caplog.text
    assert "https://evil.example" in caplog.text
    caplog.clear()
    now = 10.0
    ask(host="evil.example\n2026 ERROR made up")
    assert len(caplog.records) == 1
    assert "TURNWIRE_TOKEN" in caplog.text
    assert "100 refused" in caplog.text
    assert "\n2026" not in caplog.text


@pytest.mark.parametrize("path", ["/health", "/ready"])
async def test_a_probe_may_ask_for_the_head_alone(http: httpx2.AsyncClient, path: str) -> None:
    answer = await http.head(path)
    assert (answer.status_code, answer.content) == (200, b"")
