"""The loop in a thread: nobody waits for ever for one that has ended."""

import asyncio
import threading
from collections.abc import AsyncIterator, Generator
from typing import Any

import pytest

from tests.kit.patience import PATIENCE_SECONDS
from turnwire.errors import WireClosed
from turnwire.loop import Loop


async def leave() -> None:
    """Nothing to do."""


def test_what_is_posted_while_the_loop_ends_is_told_so() -> None:
    loop = Loop()
    loop.closes(leave)
    begun = asyncio.Event()
    ends: list[BaseException] = []
    held: list[asyncio.Task[None]] = []

    async def late() -> None:
        begun.set()
        await asyncio.Event().wait()

    def wait() -> None:
        try:
            loop.run(late())
        except WireClosed as closed:
            ends.append(closed)

    waiting = threading.Thread(target=wait, daemon=True)

    async def posts_when_cancelled() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            # The others are being cancelled by now, and this one comes on top of them.
            waiting.start()
            await begun.wait()

    async def begin() -> None:
        held.append(asyncio.create_task(posts_when_cancelled()))
        await asyncio.sleep(0)

    loop.run(begin())
    loop.close()
    waiting.join(PATIENCE_SECONDS)
    assert [str(end) for end in ends] == ["the wire was left"]


def test_a_loop_that_has_ended_says_so() -> None:
    loop = Loop()
    loop.closes(leave)
    loop.close()
    with pytest.raises(WireClosed, match="left"):
        loop.run(leave())


def test_a_half_read_iteration_of_an_ended_loop_is_closed_without_a_word() -> None:
    async def numbers() -> AsyncIterator[int]:
        yield 1
        yield 2

    loop = Loop()
    loop.closes(leave)
    items = loop.each(numbers())
    assert next(items) == 1
    loop.close()
    assert isinstance(items, Generator)
    items.close()


def test_an_interrupt_in_the_moment_of_posting_is_told_and_ends_what_was_posted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, ended = threading.Event(), threading.Event()

    async def numbers() -> AsyncIterator[int]:
        begun.set()
        try:
            await asyncio.Event().wait()
            yield 1
        finally:
            ended.set()

    post = asyncio.run_coroutine_threadsafe

    def interrupted(*args: Any) -> None:
        monkeypatch.undo()
        post(*args)
        assert begun.wait(PATIENCE_SECONDS)
        raise KeyboardInterrupt

    loop = Loop()
    loop.closes(leave)
    # A signal comes between any two steps, also between these: it runs, and is not known.
    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(loop.each(numbers()))
    assert ended.wait(PATIENCE_SECONDS)
    loop.close()
