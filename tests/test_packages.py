"""What is published: wheel, sdist and npm package, packed from this checkout without a registry.

Of the chat page, which the run has built before: tests/browser/test_build.py.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.service import serving
from tests.kit.checkout import ROOT, Checkout, unreachable
from tests.kit.patience import patience
from tests.kit.sse import asking

BROWSER = ROOT / "client" / "turnwire_browser"
LICENSE = (BROWSER / "LICENSE").read_bytes()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
NPM_PACKAGE = json.loads((BROWSER / "package.json").read_text("utf-8"))
VERSION = NPM_PACKAGE["version"]


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
    # The Python package reads it there, so it is written once.
    assert PROJECT["dynamic"] == ["version"]
    lock = json.loads((BROWSER / "package-lock.json").read_text("utf-8"))
    assert {lock["version"], lock["packages"][""]["version"], version("turnwire")} == {VERSION}
    assert NPM_PACKAGE["license"] == PROJECT["license"] == "MIT"
    assert LICENSE.startswith(b"MIT License\n")


def unpacked_wheel(built: Path, folder: Path) -> Path:
    """The folder of what the wheel there installs."""
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as wheel:
        wheel.extractall(folder)
    return folder


def test_the_wheel_has_the_license_and_the_built_page_and_no_source_of_it(
    built: Path, tmp_path: Path
) -> None:
    wheel = unpacked_wheel(built, tmp_path)
    (license,) = wheel.glob("*.dist-info/licenses/**/LICENSE")
    assert license.read_bytes() == LICENSE
    folder = wheel / "turnwire_browser"
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    page = Checkout(ROOT).built
    assert files == {"__init__.py", "py.typed", *(f"built/{name}" for name in page)}
    assert all((folder / "built" / name).read_bytes() == page[name] for name in page)


@pytest.fixture
def installed(built: Path, tmp_path: Path) -> tuple[Path, dict[str, bytes]]:
    """What a wheel that was made of the sdist installs, without Node.js or npm's registry; and the
    page of the sdist.
    """
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as sdist:
        sdist.extractall(tmp_path, filter="data")
    source = Checkout(tmp_path / f"turnwire-{VERSION}")
    page = source.built
    nothing = {"PATH": "", **unreachable(tmp_path)}
    made = source.python("hatchling", "build", "--target", "wheel", **nothing)
    assert made.returncode == 0, made.stderr
    wheel = unpacked_wheel(source.folder / "dist", tmp_path / "installed")
    # So that it cannot be taken for that of the checkout.
    index = wheel / "turnwire_browser" / "built" / "index.html"
    index.write_bytes(page["index.html"] + b"<!-- installed -->")
    return wheel, page


async def test_a_wheel_of_the_sdist_serves_the_page_without_node_or_registry(
    installed: tuple[Path, dict[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel, page = installed
    monkeypatch.setenv("PYTHONPATH", str(wheel))
    monkeypatch.setenv("PATH", "")
    async with (
        patience(),
        serving(None, tmp_path, imports=True) as url,
        asking(url.removeprefix("http://")) as http,
    ):
        html = (await http.get("/", headers={"Accept-Encoding": "identity"})).text
        assert html.endswith("<!-- installed -->")
        names = re.findall(r'"(page/[^"]+)"', html)
        assert names
        for name in names:
            assert (await http.get(f"/{name}")).content == page[name]


def test_the_sdist_has_the_license_at_the_path_it_is_named_by(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    (license,) = PROJECT["license-files"]
    with tarfile.open(path) as sdist:
        file = sdist.extractfile(f"turnwire-{VERSION}/{license}")
        assert file is not None
        assert file.read() == LICENSE


def test_the_npm_package_has_the_license_and_the_library() -> None:
    library = {f"static/turnwire/{path.name}" for path in (BROWSER / "static/turnwire").iterdir()}
    assert npm_files() == library | {"LICENSE", "package.json"}
