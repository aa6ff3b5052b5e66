"""Where Chromium is on this machine and how it is started; it knows nothing of what it shows."""

import os
import shutil
from pathlib import Path

import pytest

__all__ = ["ARGUMENTS", "require_chromium"]

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# The headless shell first: it is the same engine without the windows around it. In a whole browser
# each window brings pages of its own, the address bar's among them; the same tests take a quarter
# more of the processor there.
_NAMES = (
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "microsoft-edge",
)
_CACHES = (
    "~/.cache/ms-playwright",
    "~/Library/Caches/ms-playwright",
    "~/AppData/Local/ms-playwright",
)
_IN_CACHE = (
    "chromium_headless_shell-*/chrome-*/headless_shell",
    "chromium_headless_shell-*/chrome-*/headless_shell.exe",
    "chromium_headless_shell-*/chrome-*/chrome-headless-shell",
    "chromium_headless_shell-*/chrome-*/chrome-headless-shell.exe",
    "chromium-*/chrome-linux*/chrome",
    "chromium-*/chrome-mac*/*.app/Contents/MacOS/*",
    "chromium-*/chrome-win*/chrome.exe",
)


def require_chromium() -> str:
    """The path of Chromium, or skip the calling test; under CI its absence is a failure."""
    for name in _NAMES:
        if on_path := shutil.which(name):
            return on_path
    caches = [os.environ.get("PLAYWRIGHT_BROWSERS_PATH", ""), *_CACHES]
    for cache in filter(None, caches):
        for pattern in _IN_CACHE:
            for found in sorted(Path(cache).expanduser().glob(pattern), reverse=True):
                return str(found)
    reason = "no Chromium, Chrome or Edge here: run `playwright install chromium`"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
