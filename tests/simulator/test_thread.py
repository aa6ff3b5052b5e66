"""A simulator for code without an event loop: in a thread of its own."""

import json
import socket
import threading
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from turnwire_simulator import Answer, Fault, Simulator, Text


def ask(simulator: Simulator) -> dict[str, object]:
    """One question, as a program without asyncio asks it."""
    question = [{"role": "user", "content": "hi"}]
    body = {"model": "claude-sonnet-5-5", "max_tokens": 100, "messages": question}
    headers = {
        "content-type": "application/json",
        "x-api-key": "test",
        "anthropic-version": "2023-06-01",
    }
    request = Request(f"{simulator.url}/v1/messages", json.dumps(body).encode(), headers)
    with urlopen(request) as response:
        answer: dict[str, object] = json.load(response)
    return answer


def test_it_answers_what_is_programmed_and_ends_with_the_block() -> None:
    with Simulator() as simulator:
        simulator.program(Answer(Text("Hello.")), Fault(529))
        assert "Hello." in str(ask(simulator)["content"])
        with pytest.raises(HTTPError, match="529"):
            ask(simulator)
        assert len(simulator.requests) == 2
    assert "simulator" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(OSError, match="refused"):
        ask(simulator)


def test_why_it_cannot_begin_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        simulator = Simulator(taken.getsockname()[1])
        with pytest.raises(OSError, match="address already in use"), simulator:
            pytest.fail("the port is taken")
