"""A copy of what the packages are built of, as a clone has it: nothing built, nothing installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.kit.patience import PATIENCE_SECONDS
from tests.kit.surroundings import for_a_registry

__all__ = ["ROOT", "Checkout", "unreachable"]

ROOT = Path(__file__).parents[2]
_LEFT_OUT = ("built", "node_modules", "types", "__pycache__", "*.egg-info")


class Checkout:
    """The copy in `folder`, or whatever unpacked source is there already."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.browser = folder / "client" / "turnwire_browser"

    @classmethod
    def copied(cls, folder: Path) -> Checkout:
        """Copy it to a new `folder`."""
        folder.mkdir()
        for name in ("protocol", "client", "server"):
            ignored = shutil.ignore_patterns(*_LEFT_OUT)
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        for name in ("README.md", "pyproject.toml", ".gitignore"):
            if (ROOT / name).exists():
                shutil.copy(ROOT / name, folder)
        return cls(folder)

    @property
    def built(self) -> dict[str, bytes]:
        """The built files by their paths, the compressed ones too; none, where it is not built."""
        folder = self.browser / "built"
        files = (path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}

    def python(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a module of Python there, which finds the copy and not what is installed here."""
        places = (str(self.folder / name) for name in ("protocol", "client", "server"))
        environment = {**for_a_registry(), "PYTHONPATH": os.pathsep.join(places), **variables}
        return subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE_SECONDS,
            check=False,
        )


def unreachable(folder: Path) -> dict[str, str]:
    """Variables with which npm reaches no registry, nor what it has had from one; `folder` is
    an empty one.
    """
    return {
        # Nobody listens on the port of "discard".
        "npm_config_registry": "http://127.0.0.1:9/",
        "npm_config_cache": str(folder / "npm"),
        "npm_config_fetch_retries": "0",
    }
