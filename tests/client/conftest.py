"""Bounds every test here in time, ends what it left running, and gives it a scripted server."""

import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.client.program import end_all
from tests.kit.patience import patience
from tests.kit.scripted_server import ScriptedServer


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


def pytest_itemcollected(item: pytest.Item) -> None:
    if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
        item.obj = _bounded(item.obj)


def _bounded(test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    @functools.wraps(test)
    async def bounded(*args: object, **kwargs: object) -> None:
        try:
            async with patience():
                await test(*args, **kwargs)
        finally:
            await end_all()

    return bounded
