"""The tests of the browser's modules, run by Node.js: one file is one test here."""

import json
import re
from pathlib import Path

import pytest

from tests.kit.node import run_node

TESTS = Path(__file__).parent.parent
BROWSER = TESTS.parent / "client" / "turnwire_browser"
FILES = sorted(TESTS.rglob("*.test.mjs"))


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(TESTS)) for path in FILES])
def test_passes_in_node(path: Path) -> None:
    # Without `--test`, which would start another process for the one file.
    run_node("--no-warnings", str(path))


def test_the_npm_package_has_every_module_the_client_loads() -> None:
    package = json.loads((BROWSER / "package.json").read_text("utf-8"))
    library = BROWSER / "static" / "turnwire"
    peers = package["peerDependencies"]
    entries = {Path(export["default"]) for export in package["exports"].values()}
    assert entries == {Path("static/turnwire/turnwire.js"), Path("static/turnwire/react.js")}
    assert "static/turnwire" in package["files"]
    loaded = {entry.name for entry in entries}
    waiting = sorted(loaded)
    while waiting:
        source = (library / waiting.pop()).read_text("utf-8")
        imported = re.findall(r'^(?:import|export) .* from "(.+)";$', source, re.MULTILINE)
        assert len(imported) == len(
            re.findall(r"^(?:import|export) .* from ", source, re.MULTILINE)
        )
        found = {name.removeprefix("./") for name in imported if name not in peers}
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
