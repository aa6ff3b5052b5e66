"""The tests of the browser's modules, run by Node.js: one file is one test here."""

import json
import re
from pathlib import Path

import pytest

from tests.kit.node import run_node

TESTS = Path(__file__).parent.parent
BROWSER = TESTS.parent / "client" / "turnwire_browser"
# test_markdown.py runs that one itself.
FILES = sorted(path for path in TESTS.rglob("*.test.mjs") if path.name != "markdown.test.mjs")


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(TESTS)) for path in FILES])
def test_passes_in_node(path: Path) -> None:
    run_node("--no-warnings", "--test", str(path))


def test_the_npm_package_has_every_module_the_client_loads() -> None:
    package = json.loads((BROWSER / "package.json").read_text("utf-8"))
    library = BROWSER / "static" / "turnwire"
    assert package["exports"]["."]["default"] == "./static/turnwire/turnwire.js"
    assert "static/turnwire" in package["files"]
    loaded = {"turnwire.js"}
    waiting = ["turnwire.js"]
    while waiting:
        source = (library / waiting.pop()).read_text("utf-8")
        found = set(re.findall(r'^(?:import|export) .* from "\./(.+)";$', source, re.MULTILINE))
        assert len(found) == len(re.findall(r"^(?:import|export) .* from ", source, re.MULTILINE))
        waiting += found - loaded
        loaded |= found
    # messages.js has types only.
    assert loaded | {"messages.js"} == {path.name for path in library.iterdir()}


def test_the_module_beside_the_page_is_the_library() -> None:
    modules = [BROWSER / "static" / "turnwire.js", BROWSER / "static" / "turnwire" / "turnwire.js"]
    beside, library = (json.dumps(path.as_uri()) for path in modules)
    script = f"""
      import assert from "node:assert/strict";
      import * as beside from {beside};
      import * as library from {library};
      assert.deepEqual({{ ...beside }}, {{ ...library }});
      assert(library.connect);
    """
    run_node("--input-type=module", "--eval", script)
