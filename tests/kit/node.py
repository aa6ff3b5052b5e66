"""Where Node.js is on this machine, and how its tests run; it knows nothing of what they test."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.kit.patience import PATIENCE_SECONDS

__all__ = ["node", "require_node", "run_node"]


def node() -> str | None:
    """Return the path of Node.js: the one on PATH, else the one in playwright's wheel."""
    on_path = shutil.which("node")
    if on_path is not None:
        return on_path
    try:
        from playwright._impl._driver import compute_driver_executable
    except ImportError:
        return None
    bundled = compute_driver_executable()[0]
    return bundled if Path(bundled).exists() else None


def require_node() -> str:
    """Return the path of Node.js, or skip the calling test; under CI its absence is a failure."""
    found = node()
    if found is not None:
        return found
    reason = "no Node.js: not on PATH, and playwright's wheel is not installed"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def run_node(*arguments: str, stdin: str = "", **variables: str) -> str:
    """Run Node.js on `arguments`, with these variables in its environment too, and return its
    standard output; fail with its output otherwise.

    A program that gives up by itself, to say where it stands, does so before it is given up on:
    after GIVE_UP_MILLISECONDS.
    """
    finished = subprocess.run(
        [require_node(), *arguments],
        input=stdin,
        env={**os.environ, "GIVE_UP_MILLISECONDS": str(round(900 * PATIENCE_SECONDS)), **variables},
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    if finished.returncode != 0:
        pytest.fail(f"node {' '.join(arguments)}\n{finished.stdout}\n{finished.stderr}")
    return finished.stdout
