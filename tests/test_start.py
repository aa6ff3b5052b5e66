"""What a command line imports before it does anything: the heavy packages not, if it does not need
them. How long that takes is measured elsewhere; what is imported decides it.
"""

import subprocess
import sys
from importlib import import_module

import pytest

HEAVY = {
    "aiohttp",
    "anthropic",
    "fastapi",
    "httpx2",
    "mcp",
    "opentelemetry",
    "prompt_toolkit",
    "pydantic",
    "rich",
}
RUN = "from turnwire.cli import main; main()"
TOLD = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); "


def imported(program: str, *arguments: str) -> set[str]:
    """The heavy packages that a program has imported when it ends."""
    command = [sys.executable, "-c", TOLD + program, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return HEAVY & set(done.stderr.split())


@pytest.mark.parametrize("package", ["turnwire", "turnwire_server", "turnwire_simulator"])
def test_a_package_imports_nothing_until_something_of_it_is_asked_for(package: str) -> None:
    assert imported(f"import {package}") == set()
    assert "pydantic" in imported("from turnwire import connect")


@pytest.mark.parametrize("package", ["turnwire", "turnwire_server", "turnwire_simulator"])
def test_a_package_tells_its_names_before_any_is_asked_for(package: str) -> None:
    program = f"import {package}; print(*dir({package}))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    module = import_module(package)
    assert {*module.__all__, "__doc__"} <= set(done.stdout.decode().split())


@pytest.mark.parametrize("command", ["", "chat", "move", "simulate", "vacuum"])
def test_help_imports_nothing(command: str) -> None:
    assert imported(RUN, *command.split(), "--help") == set()


def test_the_help_of_serve_imports_the_settings_alone() -> None:
    assert imported(RUN, "serve", "--help") == {"pydantic"}
