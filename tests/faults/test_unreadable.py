"""A stored conversation that is no log: it alone is refused, and it holds up nothing."""

import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.faults.log_readers import log_of
from tests.kit.oracle import check_log
from tests.kit.patience import patience
from tests.kit.service import serving, turnwire_over
from tests.kit.sse import asking
from tests.kit.wire import Wire, wired
from tests.server.store.store_rows import opened
from turnwire_server.core.log.codec import join as join_rows
from turnwire_server.store.port import Row
from turnwire_server.store.sqlite import SqliteStore
from turnwire_simulator import Simulator

DAMAGES = {
    "a body that is no JSON": "UPDATE {rows} SET body = x'ff00' WHERE first_seq = 1 AND {its}",
    "a body of text": "UPDATE {rows} SET body = 'gone' WHERE first_seq = 1 AND {its}",
    "a body without bytes": "UPDATE {rows} SET body = 7 WHERE first_seq = 1 AND {its}",
    "an empty batch": "UPDATE {rows} SET body = '[]' WHERE first_seq = 1 AND {its}",
    "not a list": "UPDATE {rows} SET body = '3' WHERE first_seq = 1 AND {its}",
    "an event that lacks fields": (
        """UPDATE {rows} SET body = '[{{"event":{{"type":"message","seq":1}}}}]'
        WHERE first_seq = 1 AND {its}"""
    ),
    "a row that says it reaches further than it does": (
        "UPDATE {rows} SET last_seq = last_seq + 50 WHERE {its} AND last_seq ="
        " (SELECT max(last_seq) FROM {rows} WHERE {its})"
    ),
    "a row that lacks": "DELETE FROM {rows} WHERE first_seq = 1 AND {its}",
    "the last row lacks": (
        "DELETE FROM {rows} WHERE {its} AND last_seq = (SELECT max(last_seq) FROM {rows}"
        " WHERE {its})"
    ),
    "numbers that are words": "UPDATE {rows} SET last_seq = 'many' WHERE first_seq = 1 AND {its}",
    "a head that is a word": "UPDATE conversations SET seq = 'many' WHERE id = '{id}'",
    "a head beyond its rows": "UPDATE conversations SET seq = 9000 WHERE id = '{id}'",
}


class Uncompacted(SqliteStore):
    """Its rows stay where a commit puts them."""

    async def compact(
        self, conversation: str, join: Callable[[list[bytes]], list[Row]], *, after: int = 0
    ) -> None:
        """Nothing."""


def damage(db: Path, id: str, sql: str, rows: str) -> None:
    """What a bad disk, or a hand in the file, does to one conversation."""
    with closing(sqlite3.connect(db)) as file, file:
        changed = file.execute(sql.format(rows=rows, id=id, its=f"conversation = '{id}'"))
        assert changed.rowcount > 0
        file.execute("UPDATE conversations SET is_open = 1 WHERE id = ?", (id,))


async def begun(wire: Wire, words: str) -> str:
    """A conversation in which these words were answered."""
    ack = await wire.ask("send", content=words)
    await wire.until("done", turn=ack["turn"])
    return str(ack["conversation"])


def refused(reply: dict[str, Any]) -> tuple[str, str, bool]:
    """What a reply says of the refusal."""
    return reply["type"], reply["code"], reply["retryable"]


REFUSED = ("reject", "storage_unavailable", False)


@pytest.mark.parametrize(
    ("rows", "sql"),
    [
        pytest.param(rows, sql, id=f"{rows}: {name}")
        for rows in ("tail", "batches")
        for name, sql in DAMAGES.items()
        # A tail that ends early is a log that ends early, and has no head of its own.
        if (rows, name) != ("tail", "the last row lacks")
    ],
)
async def test_it_is_refused_to_everybody_and_the_others_go_on(
    simulator: Simulator, tmp_path: Path, caplog: pytest.LogCaptureFixture, sql: str, rows: str
) -> None:
    db = tmp_path / "chat.db"
    async with (
        patience(),
        serving(turnwire_over(simulator, store=Uncompacted(db))) as address,
        wired(address) as wire,
    ):
        good, bad = await begun(wire, "good"), await begun(wire, "bad")
    async with opened(db) as store:
        if rows == "batches":
            # No fewer, so they come to their place as they are.
            await store.compact(bad, lambda bodies: [Row(0, 0, b"")] * len(bodies))
    damage(db, bad, sql, rows)
    async with (
        patience(),
        serving(turnwire_over(simulator, db=str(db))) as address,
        wired(address) as wire,
        asking(address) as http,
    ):
        for _ in range(2):
            assert refused(await wire.ask("subscribe", conversation=bad)) == REFUSED
            again = await wire.ask("send", content="again", conversation=bad)
            assert refused(again) == REFUSED
        for path in (f"/v1/conversations/{bad}", f"/v1/conversations/{bad}/events"):
            answer = await http.get(path)
            error = answer.json()["error"]
            assert (answer.status_code, error["code"]) == (503, "storage_unavailable")
            assert not error["retryable"]
        listed = (await http.get("/v1/conversations")).json()["conversations"]
        assert {head["conversation"] for head in listed} == {good, bad}
        # The same socket serves the others.
        await wire.ask("send", content="more", conversation=good)
        await wire.until("done")
        check_log(await log_of(address, good))
        assert (await http.get("/ready")).status_code == 200
        assert (await http.delete(f"/v1/conversations/{bad}")).status_code == 204
        gone = await wire.ask("subscribe", conversation=bad)
        assert refused(gone) == ("reject", "unknown_conversation", False)
    errors = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [bad in record.getMessage() for record in errors] == [True]
    assert errors[0].exc_info is None


async def test_what_is_spoilt_under_a_reader_ends_its_subscription_and_not_its_socket(
    simulator: Simulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    db = tmp_path / "chat.db"
    async with (
        patience(),
        serving(turnwire_over(simulator, store=Uncompacted(db))) as address,
        wired(address) as wire,
    ):
        bad = await begun(wire, "bad")
    async with opened(db) as store:
        await store.compact(bad, join_rows)
    async with (
        patience(),
        serving(turnwire_over(simulator, db=str(db))) as address,
        wired(address) as first,
        wired(address) as second,
        asking(address) as http,
    ):
        # Held open by a reader; what it has stored is not in memory.
        await first.ask("subscribe", conversation=bad)
        await first.until("done")
        with closing(sqlite3.connect(db)) as file, file:
            file.execute("UPDATE batches SET body = '[]'")
        for _ in range(2):
            await second.ask("subscribe", conversation=bad)
            closed = await second.until("closed")
            assert refused(closed) == ("closed", "storage_unavailable", False)
        # Nobody is given a part of it as if it were all.
        thread = {"threadId": bad, "runId": "r", "messages": []}
        for answer in (
            await http.get(f"/v1/conversations/{bad}"),
            await http.get(f"/v1/ai-sdk/v7/chat/{bad}/messages"),
            await http.post("/v1/ag-ui/agent/default/connect", json=thread),
        ):
            assert answer.status_code == 503, answer.text
        assert (await second.ask("ping"))["type"] == "pong"
    errors = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [bad in record.getMessage() for record in errors] == [True]
