"""The simulator and the service that the tests of a session share for as long as tests succeed."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.e2e.service import serving
from turnwire_simulator import Simulator

__all__ = ["Stage"]

_TOOLS = Path(__file__).with_name("tools.py")


class Stage:
    """Builds both when they are first wanted, and anew after a test that failed.

    A test that breaks off leaves answers that nobody has asked for in the simulator's program, and
    turns that run in the service. Its successor would be given those answers in place of its own,
    break off too, and leave its own behind: one failure became one in nearly every later test.
    """

    def __init__(self, folders: pytest.TempPathFactory) -> None:
        self._folders = folders
        self._built = AsyncExitStack()
        self._simulator: Simulator | None = None
        self._address: str | None = None

    async def simulator(self) -> Simulator:
        """What answers in place of Claude; count from where a test begins."""
        if self._simulator is None:
            self._simulator = await self._built.enter_async_context(Simulator())
        return self._simulator

    async def address(self) -> str:
        """The service's; every test has its own conversations in it."""
        if self._address is None:
            model = (await self.simulator()).url
            folder = self._folders.mktemp("service")
            service = serving(model, folder, "--tools", str(_TOOLS))
            self._address = await self._built.enter_async_context(service)
        return self._address

    async def clear(self) -> None:
        """Ends both; whoever wants them next gets new ones."""
        self._simulator = self._address = None
        await self._built.aclose()
