"""Tools from a file or a module that the operator names."""

import sys
from pathlib import Path

import pytest

from turnwire_server.errors import SettingsError
from turnwire_server.tools.define import as_tool
from turnwire_server.tools.load import load_tools

DECORATED = '''
from anthropic import beta_tool
from turnwire_server.tools.define import tool

@tool
def roll(sides: int = 6) -> int:
    """Roll a die."""
    return sides

@beta_tool
def toss() -> str:
    """Toss a coin."""
    return "heads"

def helper(x):
    return x
'''
LISTED = '''
def roll() -> int:
    """Roll a die."""
    return 4

def not_offered() -> None:
    """Nothing."""

tools = [roll]
'''


def names_in(name: str) -> list[str]:
    return [made.name for made in map(as_tool, load_tools(name))]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the working directory; forgotten again after the test."""
    (tmp_path / "dice_of_test_load.py").write_text(DECORATED)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "dice_of_test_load", raising=False)
    return "dice_of_test_load"


@pytest.mark.parametrize(
    ("source", "names"), [(DECORATED, ["roll", "toss"]), (LISTED, ["roll"])], ids=["made", "listed"]
)
def test_a_file_gives_its_list_or_what_was_made_with_a_decorator(
    tmp_path: Path, source: str, names: list[str]
) -> None:
    path = tmp_path / "dice.py"
    path.write_text(source)
    assert names_in(str(path)) == names


def test_a_module_of_the_working_directory_is_found(module: str) -> None:
    assert names_in(module) == ["roll", "toss"]


def test_the_demo_has_tools() -> None:
    tools = ["weather", "clock", "send_email", "web_search"]
    assert names_in("turnwire_server.tools.demo") == tools


@pytest.mark.parametrize(
    "source",
    ["def broken(", "1 / 0", "import nothing_like_this", "x = 1", "tools = 5"],
    ids=["syntax", "raises", "imports what is not there", "no tools", "no list"],
)
def test_a_file_that_gives_no_tools_is_refused_by_its_name(tmp_path: Path, source: str) -> None:
    path = tmp_path / "dice.py"
    path.write_text(source)
    with pytest.raises(SettingsError) as caught:
        load_tools(str(path))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["no_such_file.py", "no.such.module", ".relative", ""])
def test_what_is_not_there_is_refused_by_its_name(module: str, name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_tools(name)
    assert name in str(caught.value)
