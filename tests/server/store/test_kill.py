"""The store of a process that is killed: what was acknowledged stays, a lock does not."""

import re
from pathlib import Path

import pytest

from tests.kit.postgres import fresh_url
from tests.server.store.append_process import NODE, appending
from tests.server.store.store_rows import bodies_of, opened
from turnwire_server.errors import SettingsError
from turnwire_server.store.sqlite import SqliteStore


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_everything_acknowledged_is_there_and_contiguous_after_each_of_20_kills(
    path: Path, kind: str
) -> None:
    place = path if kind == "sqlite" else fresh_url()
    for acknowledgements in range(1, 21):
        with appending(place) as process:
            process.wait(acknowledgements)
            process.kill()
            acknowledged = process.last_seq
        async with opened(place, node=NODE) as store:
            head = await store.head("c_1")
            stored = head.seq if head else 0
            assert stored >= acknowledged
            seq = 0
            for first, last in re.findall(
                rb"\[(\d+)-(\d+)\]", b"".join(await bodies_of(store, "c_1"))
            ):
                assert int(first) == seq + 1
                seq = int(last)
            assert seq == stored


async def test_a_second_process_is_refused_until_the_first_is_killed(path: Path) -> None:
    with appending(path) as process:
        process.wait(1)
        with pytest.raises(SettingsError) as refused:
            await SqliteStore(path).open()
        assert str(path) in str(refused.value)
        assert "--db" in str(refused.value)
        process.wait(2)
        process.kill()
        async with opened(path) as store:
            head = await store.head("c_1")
            assert head is not None
            assert head.seq >= process.last_seq
