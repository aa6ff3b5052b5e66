"""The npm package as it is packed, and what TypeScript makes of it."""

import json
import shutil
import subprocess
from pathlib import Path

from tests.e2e.react.apps import BROWSER, HERE, project
from tests.kit.npm import Packages
from tests.kit.patience import PATIENCE_SECONDS


def run(packages: Packages, folder: Path, *arguments: str) -> None:
    finished = subprocess.run(
        [packages.node, *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert finished.returncode == 0, f"{finished.stdout}\n{finished.stderr}"


def test_the_sample_pages_and_the_promised_types_are_right_for_a_strict_typescript(
    packages: Packages, package: Path
) -> None:
    files = (HERE / name for name in ("tsconfig.json", "types.ts", "chat.tsx", "vite", "next"))
    with project(packages, package, *files) as folder:
        # In their apps they lie beside it.
        for app in ("vite", "next"):
            shutil.copy(HERE / "chat.tsx", folder / app)
        run(packages, folder, str(packages.path("typescript/bin/tsc")), "--project", ".")


def test_publint_finds_nothing(packages: Packages, package: Path) -> None:
    publint = packages.path("publint/src/cli.js")
    run(packages, package.parent, str(publint), str(package), "--strict")


def test_an_install_from_the_folder_has_the_types_too(packages: Packages, package: Path) -> None:
    # npm runs `prepare` of a folder that is installed, linked or packed, and nothing else of ours.
    scripts = json.loads((BROWSER / "package.json").read_text("utf-8"))["scripts"]
    assert set(scripts) == {"check", "prepare"}
    with project(packages, package) as folder:
        installed = folder / "node_modules" / "turnwire"
        exports = json.loads((installed / "package.json").read_text("utf-8"))["exports"]
        for export in exports.values():
            assert (installed / export["types"]).exists()
            assert (installed / export["default"]).exists()


def test_node_takes_both_modules_from_where_they_are_installed(
    packages: Packages, package: Path
) -> None:
    script = (
        'import { connect } from "turnwire"; import "turnwire/react"; connect("/").conversation();'
    )
    with project(packages, package) as folder:
        (folder / "script.mjs").write_text(script, "utf-8")
        run(packages, folder, "script.mjs")
