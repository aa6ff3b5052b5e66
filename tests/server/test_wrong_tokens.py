"""Who gives wrong tokens is slowed and named in the log; who has a right one goes on."""

import asyncio
import logging
from ipaddress import ip_network

import pytest
from starlette.requests import HTTPConnection

from tests.kit.patience import patience
from tests.kit.service import by_name, serving, turnwire_over
from tests.kit.sse import asking
from tests.kit.wire import opened, wired
from turnwire_server.addresses import client_of, counted_as
from turnwire_server.errors import Rejected
from turnwire_server.transports.wrong_tokens import WrongTokens
from turnwire_simulator import Simulator

PROXIES = [ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8")]
LIMITS = {"max_wrong_tokens_per_minute": 2}
LIST = "/v1/conversations"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def connection_from(address: str, forwarded_for: str | None = None) -> HTTPConnection:
    forwarded = [] if forwarded_for is None else [(b"x-forwarded-for", forwarded_for.encode())]
    return HTTPConnection({"type": "http", "client": (address, 1), "headers": forwarded})


class Door:
    """Wrong tokens at a time that the test sets; counts what the authenticator is asked."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked = 0
        self.right = "right"
        self.tokens = WrongTokens(2, proxies=["10.0.0.0/8"], now=lambda: self.now)

    async def knock(self, token: str, address: str = "192.0.2.1", via: str | None = None) -> str:
        """`in`, `wrong` or `later`."""

        async def ask() -> str | None:
            self.asked += 1
            await asyncio.sleep(0)
            return "anna" if token == self.right else None

        connection = connection_from(address) if via is None else connection_from(via, address)
        try:
            return "in" if await self.tokens.guard(connection, token, ask) else "wrong"
        except Rejected as refused:
            return "later" if refused.retry_after_seconds == 30.0 else str(refused)


async def test_over_the_bound_the_authenticator_is_not_asked_until_time_has_passed() -> None:
    door = Door()
    assert [await door.knock("a") for _ in range(4)] == ["wrong", "wrong", "later", "later"]
    assert await door.knock("a", "192.0.2.2") == "wrong"
    assert door.asked == 3
    door.now = 30.0
    assert [await door.knock("a") for _ in range(2)] == ["wrong", "later"]


async def test_many_at_once_are_no_way_around_the_bound() -> None:
    door = Door()
    answers = await asyncio.gather(*(door.knock(f"guess {number}") for number in range(9)))
    assert sorted(answers) == ["later"] * 7 + ["wrong"] * 2


async def test_a_token_that_was_right_before_passes_beside_somebody_who_guesses() -> None:
    door = Door()
    assert await door.knock("right", "192.0.2.9") == "in"
    for _ in range(3):
        await door.knock("a")
    assert [await door.knock("right") for _ in range(9)] == ["in"] * 9
    door.right = "another"
    assert [await door.knock("right") for _ in range(2)] == ["wrong", "later"]


async def test_right_tokens_take_nothing_from_the_bound() -> None:
    door = Door()
    assert [await door.knock("right") for _ in range(9)] == ["in"] * 9
    assert [await door.knock("a") for _ in range(3)] == ["wrong", "wrong", "later"]


async def test_the_log_names_the_address_and_has_few_lines(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    door = Door()
    for now in (0.0, 1.0, 9.0, 10.0):
        door.now = now
        await door.knock("a-guess", "192.0.2.77")
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert all("192.0.2.77" in line and "a-guess" not in line for line in lines)
    assert "3 refused" in lines[1]


async def test_an_authenticator_that_fails_has_called_no_token_wrong() -> None:
    door = Door()

    async def fail() -> str | None:
        raise LookupError

    for _ in range(9):
        with pytest.raises(LookupError):
            await door.tokens.guard(connection_from("192.0.2.1"), "a", fail)


async def test_behind_a_proxy_the_client_that_it_names_is_counted_and_a_nameless_one_never() -> (
    None
):
    door = Door()
    assert [await door.knock("a", via="10.0.0.1") for _ in range(3)] == ["wrong", "wrong", "later"]
    assert await door.knock("a", "192.0.2.2", via="10.0.0.1") == "wrong"
    assert [await door.knock("a", "10.0.0.1") for _ in range(9)] == ["wrong"] * 9


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "198.51.100.1", "192.0.2.1"),
        ("127.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "203.0.113.9, 198.51.100.1, 10.1.1.1", "198.51.100.1"),
        ("127.0.0.1", "10.2.2.2, 10.1.1.1", "10.2.2.2"),
        ("127.0.0.1", "198.51.100.1, nonsense", "127.0.0.1"),
        ("::ffff:127.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("", "198.51.100.1", ""),
    ],
)
def test_who_asks_is_the_first_from_the_right_that_is_no_proxy(
    peer: str, forwarded_for: str, client: str
) -> None:
    assert client_of(peer, forwarded_for, PROXIES) == client


def test_an_ipv6_address_is_counted_by_its_network() -> None:
    addresses = ["2001:db8:1:2:3::4", "192.0.2.1", "::ffff:192.0.2.1", "10.0.0.1", "nonsense", ""]
    counted = [counted_as(address, PROXIES) for address in addresses]
    assert counted == ["2001:db8:1:2::/64", "192.0.2.1", "192.0.2.1", None, None, None]


async def test_over_http_and_in_hello_wrong_tokens_count_together_and_the_log_names_the_address(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    turnwire = turnwire_over(simulator, authenticate=by_name, proxies=[], limits=LIMITS)
    async with serving(turnwire) as address, asking(address) as http, patience():
        assert (await http.get(LIST, headers=bearer("anna"))).status_code == 200
        for _ in range(9):  # Who has no token guesses none.
            assert (await http.get(LIST)).status_code == 401
        assert (await http.get(LIST, headers=bearer("a-guess"))).status_code == 401
        async with opened(address) as wire:
            await wire.send("hello", token="a-guess")
            assert await wire.closed() == 4501
        refused = await http.get(LIST, headers=bearer("bert"))
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many")
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        async with opened(address) as wire:
            await wire.send("hello", token="bert")
            assert await wire.closed() == 4429
        assert (await http.get(LIST, headers=bearer("anna"))).status_code == 200
        async with wired(address, hello="anna") as wire:
            assert (await wire.ask("ping"))["type"] == "pong"
    assert "127.0.0.1" in caplog.text
    assert "a-guess" not in caplog.text
