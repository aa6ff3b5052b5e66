"""npm packages for tests: a folder with a package.json is an area, installed once a machine.

A test names its folder and gets where the packages are: `packages_of(Path(__file__).parent)`. They
lie in a cache outside the checkout, keyed by the digest of the package.json, which names exact
versions; there is no lock file, because it would say where the registry is. An area whose packages
want a newer Node.js than the machine's has `"node": "24.18.1"` among them: that is a Node.js.

`python -m tests.kit.npm` installs all areas of the checkout: the gate begins with it, in the
background. Whoever comes meanwhile, in this run or in another, waits for the same lock.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kit.node import require_node
from tests.kit.patience import PATIENCE_SECONDS
from tests.kit.surroundings import for_a_registry

__all__ = ["NpmError", "Packages", "install", "packages_of"]

TESTS = Path(__file__).parents[1]

_FLAGS = (
    "--no-package-lock",
    "--no-audit",
    "--no-fund",
    # Nothing that was downloaded runs at the installation, but for what `_NODE` needs.
    "--ignore-scripts",
    # Without a registry it is to say so soon.
    "--fetch-retry-mintimeout=1000",
    "--fetch-retry-maxtimeout=5000",
)

_NODE = "node"
"""The npm package that is a Node.js; its binary for this machine comes with an install script."""


class NpmError(Exception):
    """The packages of an area cannot be had here: there is no npm, or it failed."""


@dataclass(frozen=True)
class Packages:
    """The packages of one area.

    `folder` holds `node_modules`. A program that looks for packages from its own place upward, as
    ES modules do, has to run below `folder`: `work_folder` gives it a place.
    """

    folder: Path

    @property
    def node(self) -> str:
        """The path of the Node.js for these packages: one that is among them, or the machine's."""
        own = self.folder / "node_modules" / _NODE / "bin" / "node"
        return str(own) if own.exists() else require_node()

    def path(self, name: str) -> Path:
        """A file of the packages: `path("next/dist/bin/next")`."""
        return self.folder / "node_modules" / name

    @contextmanager
    def work_folder(self, *files: Path) -> Iterator[Path]:
        """A new folder from which the packages are found, with copies of these files and folders;
        removed afterwards. Runs at the same time have each their own.
        """
        with tempfile.TemporaryDirectory(prefix="work-", dir=self.folder) as name:
            folder = Path(name)
            for file in files:
                if file.is_dir():
                    shutil.copytree(file, folder / file.name)
                else:
                    shutil.copy(file, folder)
            yield folder


def packages_of(area: Path) -> Packages:
    """The packages of the area, installed; skips the calling test where they cannot be had. Under
    CI that is a failure.
    """
    found = _outcome(area)
    if isinstance(found, Packages):
        return found
    reason = f"no npm packages for {area.relative_to(TESTS)}: {found}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def install(area: Path) -> Packages:
    """Install the packages that `area/package.json` names, unless they are there.

    Raises:
        NpmError: they cannot be had.
    """
    wanted = (area / "package.json").read_bytes()
    digest = hashlib.sha256(wanted + sys.platform.encode()).hexdigest()[:16]
    cache = _cache()
    folder = cache / f"{area.name}-{digest}"
    if folder.exists():
        return Packages(folder)
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{folder.name}.lock").open("w") as lock:
        # A process that dies lets go of it.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            # It gets its name when it is whole, so that nobody finds half of it.
            unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=cache))
            try:
                (unfinished / "package.json").write_bytes(wanted)
                _run_npm("install", *_FLAGS, at=unfinished)
                if _NODE in json.loads(wanted).get("dependencies", {}):
                    _run_npm("rebuild", _NODE, at=unfinished)
                unfinished.rename(folder)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
    return Packages(folder)


@functools.cache
def _outcome(area: Path) -> Packages | NpmError:
    """Remembered: where it has failed, each further test would wait for the registry again."""
    try:
        return install(area)
    except NpmError as error:
        return error


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "turnwire-tests" / "npm"


def _run_npm(*arguments: str, at: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise NpmError("there is no npm: it comes with Node.js")
    try:
        subprocess.run(
            [npm, *arguments],
            cwd=at,
            env=for_a_registry(),
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            # Hundreds of megabytes may come over a slow line.
            timeout=5 * PATIENCE_SECONDS,
        )
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout).strip() or f"exit code {error.returncode}"
        raise NpmError(f"npm {arguments[0]}: {said}") from error
    except subprocess.TimeoutExpired as error:
        raise NpmError(f"npm {arguments[0]} does not end") from error


def main() -> None:
    """Install every area of tests; say what could not be had, and fail then. What is measured is
    installed by who measures it."""
    problems: list[str] = []
    for manifest in sorted(TESTS.rglob("package.json")):
        if not {"node_modules", "bench"}.isdisjoint(manifest.relative_to(TESTS).parts):
            continue
        try:
            install(manifest.parent)
        except NpmError as error:
            problems.append(f"{manifest.parent.relative_to(TESTS)}: {error}")
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
