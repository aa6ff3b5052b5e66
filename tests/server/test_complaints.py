"""What the log says of a store that cannot be used for a command: something, and no flood."""

import asyncio
import logging

import pytest

from tests.kit.core import ANNA, HeldModel, core_on
from tests.kit.patience import patience
from tests.kit.service import serving, turnwire_over
from tests.kit.sse import asking
from turnwire_protocol import SendBody
from turnwire_server.core.complaint import Complaint
from turnwire_server.core.inquiry import Inquiries
from turnwire_server.errors import Rejected, StoreError, Unreadable
from turnwire_server.store.memory import MemoryStore
from turnwire_simulator import Simulator

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
SENTENCE = "the disk is gone"


async def _fail(*_: object, **__: object) -> None:
    raise StoreError(SENTENCE)


async def _give(error: StoreError) -> None:
    raise error


def break_all_but_commits(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on, until the monkeypatch is undone."""
    for name in ("head", "read", "list_heads", "rename", "delete"):
        monkeypatch.setattr(store, name, _fail)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The lines that name the reason."""
    return [record.message for record in caplog.records if SENTENCE in record.message]


@pytest.mark.parametrize("command", ["GET list", "GET one", "PATCH", "DELETE", "POST"])
async def test_what_the_store_refuses_to_a_command_has_its_reason_in_the_log_once(
    simulator: Simulator,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    store = MemoryStore()
    async with serving(turnwire_over(simulator, store=store)) as address, asking(address) as http:
        answer = await http.post(
            "/v1/chat", json={"content": "Hi"}, headers={"Accept": "application/json"}
        )
        one = f"/v1/conversations/{answer.json()['conversation']}"
        break_all_but_commits(store, monkeypatch)
        for _ in range(3):
            match command:
                case "GET list":
                    refused = await http.get("/v1/conversations")
                case "GET one":
                    refused = await http.get("/v1/conversations/c_1")
                case "PATCH":
                    refused = await http.patch(one, json={"title": "x"})
                case "DELETE":
                    refused = await http.delete(one)
                case _:
                    refused = await http.post("/v1/chat", json={"content": "Hi", "key": "k-1"})
            assert (refused.status_code, SENTENCE in refused.text) == (503, False)
    assert len(said(caplog)) == 1


async def test_blobs_that_cannot_be_stored_have_their_reason_in_the_log_once(
    simulator: Simulator, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    monkeypatch.setattr(store.blobs, "spool", _fail)
    async with serving(turnwire_over(simulator, store=store)) as address, asking(address) as http:
        for _ in range(3):
            headers = {"Content-Type": "image/png"}
            refused = await http.post("/v1/blobs", content=PNG, headers=headers)
            assert (refused.status_code, SENTENCE in refused.text) == (503, False)
    assert len(said(caplog)) == 1


async def test_a_reader_who_is_sent_away_as_the_store_cannot_be_read_has_a_line_in_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, model = MemoryStore(), HeldModel()
    model.released.set()
    core = core_on(store, model)
    async with patience():
        await core.start()
        accepted = await core.send(ANNA, SendBody(content="Hi"))
        await accepted.durable
        conversation = accepted.ack.conversation or ""
        (one,) = core._open.all()
        while one.is_busy or not one.is_stored:  # noqa: ASYNC110 (nothing says so)
            await asyncio.sleep(0)
        break_all_but_commits(store, monkeypatch)
        for _ in range(3):
            follower = one.follow(0, None, lambda: None)
            assert await follower.read() == []
            assert follower.closed is not None
        assert [conversation in line for line in said(caplog)] == [True]
        monkeypatch.undo()
        assert await one.follow(0, None, lambda: None).read() != []
        await core.close()


async def test_a_store_that_is_asked_first_is_in_doubt_once_it_fails_or_is_silent() -> None:
    doubts: list[StoreError] = []
    inquiries = Inquiries(answer_seconds=0.001, doubt=doubts.append)
    for answer in (_fail(), asyncio.Event().wait(), _give(Unreadable("no log"))):
        with pytest.raises(Rejected):
            await inquiries.read(answer)
    assert [str(doubt) for doubt in doubts] == [SENTENCE, "a read has no answer after 0.001 s"]


def test_a_complaint_is_a_line_a_minute_that_counts_what_it_leaves_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    times = iter((0.0, 1.0, 59.0, 60.0, 61.0))
    complaint = Complaint(logging.getLogger("test"), "it fails", now=lambda: next(times))
    for _ in range(5):
        complaint.make(StoreError(SENTENCE))
    first = f"it fails: {SENTENCE}"
    assert said(caplog) == [first, f"{first} (2 times more since the last such line)"]
