"""The React apps of this folder over the packed npm package: one of Vite, one of Next.js."""

import os
import shutil
import subprocess
import tarfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from tests.kit.node_process import listening, run_program
from tests.kit.npm import Packages
from tests.kit.patience import PATIENCE_SECONDS
from tests.kit.surroundings import for_a_registry

__all__ = ["TOKEN", "next_app", "packed", "project", "vite_app"]

HERE = Path(__file__).parent
BROWSER = HERE.parents[2] / "client" / "turnwire_browser"
TOKEN = "a-token-of-the-server"


def packed(folder: Path) -> Path:
    """The npm package as `npm pack` makes it, in this folder. Without the compiler, which comes
    from the registry, the calling test is skipped; under CI it fails."""
    npm = shutil.which("npm")
    assert npm is not None
    # A copy: what is built on the way stays out of the checkout.
    source = folder / "source"
    shutil.copytree(BROWSER, source, ignore=shutil.ignore_patterns("types", "*.tgz", "__pycache__"))
    finished = subprocess.run(
        [npm, "pack", "--silent", "--pack-destination", str(folder)],
        cwd=source,
        env={**for_a_registry(), "npm_config_update_notifier": "false"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    if finished.returncode != 0:
        reason = f"npm pack\n{finished.stdout}\n{finished.stderr}"
        if os.environ.get("CI") == "true" or "error TS" in finished.stdout:
            pytest.fail(reason)
        pytest.skip(reason)
    (package,) = folder.glob("*.tgz")
    return package


@contextmanager
def project(packages: Packages, package: Path, *files: Path) -> Iterator[Path]:
    """A folder with these files, in which the package is installed beside React and the tools."""
    with packages.work_folder(*files) as folder:
        with tarfile.open(package) as archive:
            archive.extractall(folder / "node_modules", filter="data")
        (folder / "node_modules" / "package").rename(folder / "node_modules" / "turnwire")
        yield folder


@asynccontextmanager
async def vite_app(packages: Packages, package: Path, service: str) -> AsyncIterator[str]:
    """The app of Vite under StrictMode, built, with the service at this URL below its address."""
    program = str(packages.path("vite/bin/vite.js"))
    variables = {"SERVICE": service, "NODE_ENV": "development"}
    with project(packages, package, HERE / "chat.tsx", *(HERE / "vite").iterdir()) as folder:
        await run_program(
            packages, folder, program, "build", "--logLevel", "warn", variables=variables
        )
        preview = (program, "preview", "--host", "127.0.0.1", "--port", "{port}", "--strictPort")
        async with listening(packages, folder, *preview, variables=variables) as url:
            yield url


@asynccontextmanager
async def next_app(
    packages: Packages, package: Path, service: str, port: int
) -> AsyncIterator[str]:
    """The app of Next.js, built as for production, at this port; its server alone knows `TOKEN`."""
    program = str(packages.path("next/dist/bin/next"))
    variables = {"SERVICE": service, "TURNWIRE_TOKEN": TOKEN}
    with project(packages, package, HERE / "chat.tsx", *(HERE / "next").iterdir()) as folder:
        await run_program(packages, folder, program, "build", variables=variables)
        for file in (folder / ".next" / "static").rglob("*"):
            assert file.is_dir() or TOKEN.encode() not in file.read_bytes()
        start = listening(packages, folder, program, "start", variables=variables, reserved=port)
        async with start as url:
            yield url
