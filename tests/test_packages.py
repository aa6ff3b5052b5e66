"""What is published: wheel, sdist and npm package, built from this checkout without a registry."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
BROWSER = ROOT / "client" / "turnwire_browser"
LICENSE = (BROWSER / "LICENSE").read_bytes()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
NPM_PACKAGE = json.loads((BROWSER / "package.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the wheel and the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    return folder


def npm_files() -> set[str]:
    """The paths in the npm package, but for the types that `prepack` makes with a download."""
    npm = shutil.which("npm")
    if npm is None:
        reason = "no npm here: it comes with Node.js"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    pack = [npm, "pack", "--dry-run", "--ignore-scripts", "--json"]
    done = subprocess.run(pack, cwd=BROWSER, check=True, capture_output=True)
    (package,) = json.loads(done.stdout)
    files: list[dict[str, Any]] = package["files"]
    return {path for file in files if not (path := str(file["path"])).startswith("types/")}


def test_both_packages_have_one_version_and_one_license() -> None:
    assert NPM_PACKAGE["version"] == PROJECT["version"]
    assert NPM_PACKAGE["license"] == PROJECT["license"] == "MIT"
    assert LICENSE.startswith(b"MIT License\n")


def test_the_wheel_has_the_license_and_every_file_of_the_page(built: Path) -> None:
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
        (license,) = (name for name in names if ".dist-info/licenses/" in name)
        assert wheel.read(license) == LICENSE
    static = {file for file in (BROWSER / "static").rglob("*") if file.is_file()}
    assert {file.relative_to(BROWSER.parent).as_posix() for file in static} <= names


def test_the_sdist_has_the_license_at_the_path_it_is_named_by(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    (license,) = PROJECT["license-files"]
    with tarfile.open(path) as sdist:
        file = sdist.extractfile(f"turnwire-{PROJECT['version']}/{license}")
        assert file is not None
        assert file.read() == LICENSE


def test_the_npm_package_has_the_license_and_the_library() -> None:
    library = {f"static/turnwire/{path.name}" for path in (BROWSER / "static/turnwire").iterdir()}
    assert npm_files() == library | {"LICENSE", "package.json"}
