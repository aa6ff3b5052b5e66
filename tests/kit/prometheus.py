"""A real Prometheus (Debian's package `prometheus`), which asks a service that runs in a test."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2

from tests.kit.patience import patience
from tests.kit.port import reserved_port
from tests.kit.sse import asking

__all__ = ["PROMETHEUS", "Prometheus", "scraping"]

PROMETHEUS = shutil.which("prometheus")
"""None: it is not installed."""

_CONFIG = """
global: {scrape_interval: 250ms, scrape_timeout: 250ms}
scrape_configs:
- job_name: turnwire
  authorization: {credentials: %s}
  static_configs: [{targets: [%s]}]
"""


class Prometheus:
    """Its HTTP API (https://prometheus.io/docs/prometheus/latest/querying/api/)."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def query(self, expression: str) -> dict[str, float]:
        """Values by their labels, as JSON of sorted keys and without those of the target."""
        answer = await self._http.get("/api/v1/query", params={"query": expression})
        found = answer.json()
        assert found["status"] == "success", found
        return {
            json.dumps(
                {
                    name: value
                    for name, value in sorted(series["metric"].items())
                    if name not in ("__name__", "instance", "job")
                }
            ): float(series["value"][1])
            for series in found["data"]["result"]
        }

    async def until(
        self, expression: str, holds: Callable[[dict[str, float]], bool]
    ) -> dict[str, float]:
        """The values, once they are so."""
        async with patience():
            while not holds(found := await self.query(expression)):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return found


@asynccontextmanager
async def scraping(folder: Path, address: str, *, token: str) -> AsyncIterator[Prometheus]:
    """One that asks `address` four times a second."""
    assert PROMETHEUS is not None
    config = folder / "prometheus.yml"
    config.write_text(_CONFIG % (json.dumps(token), json.dumps(address)))
    with reserved_port() as port:
        process = await asyncio.create_subprocess_exec(
            PROMETHEUS,
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asking(f"127.0.0.1:{port}") as http:
                async with patience():
                    while not await _is_ready(http):
                        assert process.returncode is None, "it has not started"
                        await asyncio.sleep(0.05)
                yield Prometheus(http)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def _is_ready(http: httpx2.AsyncClient) -> bool:
    try:
        return (await http.get("/-/ready")).status_code == 200
    except httpx2.HTTPError:
        return False
