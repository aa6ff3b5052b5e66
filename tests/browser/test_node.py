"""The tests of the browser's modules, run by Node.js: one file is one test here."""

import json
from pathlib import Path

import pytest

from tests.kit.node import run_node

TESTS = Path(__file__).parent.parent
# test_markdown.py runs that one itself.
FILES = sorted(path for path in TESTS.rglob("*.test.mjs") if path.name != "markdown.test.mjs")


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(TESTS)) for path in FILES])
def test_passes_in_node(path: Path) -> None:
    run_node("--no-warnings", "--test", str(path))


def test_every_module_of_the_client_is_in_its_npm_package() -> None:
    static = TESTS.parent / "client" / "turnwire_browser" / "static"
    imported = {"turnwire.js"}
    waiting = ["turnwire.js"]
    while waiting:
        source = (static / waiting.pop()).read_text("utf-8")
        found = {
            line.rsplit('"./', 1)[1].rstrip('";')
            for line in source.splitlines()
            if line.startswith("import ")
        }
        waiting += found - imported
        imported |= found
    package = json.loads((static.parent / "package.json").read_text("utf-8"))
    assert {name.removeprefix("static/") for name in package["files"]} - {"types"} == imported
