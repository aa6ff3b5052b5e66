"""A service that may open 256 files, and hundreds of connections that say nothing."""

import asyncio
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.service import serving
from tests.kit.patience import patience
from tests.kit.sse import asking
from tests.kit.wire import wired
from turnwire_simulator import Answer, Gate, Simulator, Text

FILES = 256
SILENT = 700


@pytest.fixture
def many_files() -> Iterator[None]:
    """This process holds the other ends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
async def test_beside_hundreds_of_silent_connections_stop_works_and_the_log_stays_short(
    simulator: Simulator, tmp_path: Path
) -> None:
    gate = Gate()
    simulator.program(Answer(Text(["Hel", "lo"])).at(4, gate), Answer(Text("again")))
    began = time.monotonic()
    async with serving(simulator.url, tmp_path, files=FILES) as url:
        address = url.removeprefix("http://")
        host, port = address.split(":")
        async with wired(address) as wire, patience():
            ack = await wire.ask("send", content="hi")
            await gate.reached()
            opening = (asyncio.open_connection(host, int(port)) for _ in range(SILENT))
            silent = await asyncio.gather(*opening)
            cancel = await wire.ask("cancel", conversation=ack["conversation"], turn=ack["turn"])
            assert cancel["outcome"] == "cancelling"
            assert (await wire.until("done"))["stop_reason"] == "cancelled"
            # Somebody new is served too, up to the model.
            async with asking(address) as http:
                answer = await http.post(
                    "/v1/chat", json={"content": "hi"}, headers={"Accept": "application/json"}
                )
                assert answer.json()["text"] == "again"
            # Whoever was one too many has been told.
            ended = [asyncio.ensure_future(reader.read()) for reader, _ in silent]
            while sum(end.done() for end in ended) < SILENT - FILES:
                await asyncio.wait(
                    [end for end in ended if not end.done()], return_when=asyncio.FIRST_COMPLETED
                )
            for end in ended:
                end.cancel()
            for _, writer in silent:
                writer.transport.abort()
    log = (tmp_path / "stderr.txt").read_text()
    assert "Traceback" not in log
    # Of what a crowd causes: a line a second at most of each kind.
    assert len(log.splitlines()) < 10 + 2 * (time.monotonic() - began)


async def test_a_process_of_its_own_takes_all_the_files_it_may_have(
    simulator: Simulator, tmp_path: Path
) -> None:
    async with serving(simulator.url, tmp_path, files=FILES) as url, asking(url[7:]) as http:
        assert (await http.get("/health")).status_code == 200
    assert "at most 192 connections" in (tmp_path / "stderr.txt").read_text()
