"""Apps of Node.js that pass a part of their addresses on to the service, as processes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.kit.node_process import listening
from tests.kit.npm import Packages

__all__ = ["express", "next_dev"]

HERE = Path(__file__).parent
_NEXT = "next/dist/bin/next"


@asynccontextmanager
async def express(packages: Packages, service: str) -> AsyncIterator[str]:
    """`express.mjs` before the service at this URL; gives the URL of the service behind it."""
    variables = {"SERVICE": service}
    with packages.work_folder(HERE / "express.mjs") as folder:
        async with listening(packages, folder, "express.mjs", variables=variables) as url:
            yield f"{url}/ai"


@asynccontextmanager
async def next_dev(packages: Packages, service: str) -> AsyncIterator[str]:
    """The Next.js app, as one writes it (`next dev`)."""
    program = str(packages.path(_NEXT))
    variables = {"SERVICE": service}
    with packages.work_folder(*(HERE / "next").iterdir()) as folder:
        async with listening(packages, folder, program, "dev", variables=variables) as url:
            yield f"{url}/ai"
