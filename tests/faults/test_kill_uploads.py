"""The server is killed with -9 while blobs come in: no half blob is ever served or left."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Collection
from pathlib import Path

import httpx2

from tests.faults.server import KillableServer, killable
from tests.kit.patience import PATIENCE_SECONDS, patience
from turnwire_simulator import Simulator

KILLS = int(os.environ.get("TURNWIRE_TEST_UPLOAD_KILLS", "15"))
UPLOADERS = 4
SIZE_BYTES = 600_000
HEADERS = {"Content-Type": "image/png"}


def data_of(number: int) -> bytes:
    """An image, as far as its first bytes tell, that can be known again."""
    return b"\x89PNG\r\n\x1a\n" + (b"%012d" % number) * (SIZE_BYTES // 12)


def names(database: Path) -> list[str]:
    """The files in the folder of the blobs."""
    folder = Path(f"{database}.blobs")
    return sorted(os.listdir(folder)) if folder.exists() else []


async def read(http: httpx2.AsyncClient, blob: str) -> bytes | None:
    """The bytes of a blob; None where there is none."""
    response = await http.get(f"/v1/blobs/{blob}")
    assert response.status_code in (200, 404)
    return response.content if response.status_code == 200 else None


async def test_of_an_upload_that_a_crash_cut_off_nothing_is_left_and_it_works_again(
    tmp_path: Path,
) -> None:
    database = tmp_path / "chat.db"
    begun = asyncio.Event()

    async def half() -> AsyncIterator[bytes]:
        yield data_of(1)[: SIZE_BYTES // 2]
        begun.set()
        await asyncio.Event().wait()

    async with Simulator() as simulator, killable(simulator.url, database) as server, patience():
        await server.start()
        async with httpx2.AsyncClient(
            base_url=server.url, trust_env=False, verify=False, timeout=PATIENCE_SECONDS
        ) as http:
            upload = asyncio.create_task(http.post("/v1/blobs", content=half(), headers=HEADERS))
            await begun.wait()
            while not names(database):  # noqa: ASYNC110 (the server is another process)
                await asyncio.sleep(0)
            server.kill()
            await server.ended()
            upload.cancel()
            await asyncio.gather(upload, return_exceptions=True)
        assert [name.partition("-")[0] for name in names(database)] == ["upload"]
        await server.start()
        async with httpx2.AsyncClient(
            base_url=server.url, trust_env=False, verify=False, timeout=PATIENCE_SECONDS
        ) as http:
            await http.get("/health")  # It listens before it has opened its store.
            assert names(database) == []
            whole = await http.post("/v1/blobs", content=data_of(1), headers=HEADERS)
            assert await read(http, whole.json()["blob"]) == data_of(1)
        assert names(database) == [whole.json()["blob"]]


class Uploaders:
    """They put one blob in after another, whether the server is there or not."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http
        self._next = 0
        self.taken: dict[str, int] = {}
        """The numbers of what was acknowledged, by id."""
        self.acknowledged = asyncio.Semaphore(0)

    async def run(self) -> None:
        """For ever, one of them."""
        while True:
            self._next += 1
            number = self._next
            try:
                answer = await self._http.post(
                    "/v1/blobs", content=data_of(number), headers=HEADERS
                )
            except httpx2.HTTPError:
                await asyncio.sleep(0)
                continue
            assert answer.status_code == 201, answer.text
            self.taken[answer.json()["blob"]] = number
            self.acknowledged.release()


async def test_killed_at_random_moments_of_uploads_every_blob_is_whole_or_not_there(
    tmp_path: Path, db: str
) -> None:
    chance, has_files = random.Random(7), db.endswith(".db")
    async with (
        Simulator() as simulator,
        killable(simulator.url, db, log=tmp_path / "serve.log") as server,
        httpx2.AsyncClient(
            base_url=server.url, trust_env=False, verify=False, timeout=PATIENCE_SECONDS
        ) as http,
    ):
        uploaders = Uploaders(http)
        for _ in range(KILLS if has_files else KILLS // 3):
            await _killed_once(server, uploaders, chance)
        async with patience():
            await server.start()
            await http.get("/health")
            for id, number in uploaders.taken.items():
                assert await read(http, id) == data_of(number)
            if has_files:
                await _check_files(http, Path(db), uploaders.taken.keys())


async def _check_files(http: httpx2.AsyncClient, database: Path, taken: Collection[str]) -> None:
    """What lies in the folder is whole, and all of it is served."""
    assert all(name.startswith("b_") for name in names(database))
    # Files whose row was not committed are removed in the background; of the others some were
    # stored though nobody was told.
    while True:
        found = {id: await read(http, id) for id in names(database)}
        if all(found.values()):
            break
    assert found.keys() >= set(taken)
    for id, data in found.items():
        assert data is not None
        assert data == data_of(int(data[8:20])), id


async def _killed_once(server: KillableServer, uploaders: Uploaders, chance: random.Random) -> None:
    async with patience():
        await server.start()
        tasks = [asyncio.create_task(uploaders.run()) for _ in range(UPLOADERS)]
        for _ in range(chance.randrange(1, 5)):
            await uploaders.acknowledged.acquire()
        await asyncio.sleep(chance.uniform(0, 0.03))  # Anywhere in the next ones.
        server.kill()
        await server.ended()
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(result, asyncio.CancelledError)
