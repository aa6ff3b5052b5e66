"""Where all tests run: on two workers, the long ones first; and the half of them that is slow."""

import os
from pathlib import Path

import pytest

__all__: list[str] = []

HERE = Path(__file__).parent

# No test speaks TLS, and each of hundreds of HTTP clients would read all certificates of the
# system. Set before anything is imported, and inherited by the processes that tests start.
os.environ.pop("SSL_CERT_FILE", None)
os.environ["SSL_CERT_DIR"] = str(HERE / "kit")

SLOW = ("e2e", "faults")
"""The folders and files of the slow half, the longest first."""


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Takes the options of pytest-xdist in pyproject.toml where it is not there (`-p no:xdist`)."""
    if not pluginmanager.hasplugin("xdist"):
        for option in ("--numprocesses", "--dist"):
            parser.addoption(option, help="nothing without pytest-xdist")
        parser.addoption("--no-loadscope-reorder", action="store_true", help="the same")
