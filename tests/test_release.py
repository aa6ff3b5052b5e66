"""How a release is made, as far as no registry is needed to see it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.kit.checkout import ROOT
from tests.kit.node import require_node
from tests.test_packages import VERSION

WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text("utf-8"))


@pytest.mark.parametrize("version", ["9.9.9", f"{VERSION}-not"])
def test_a_version_that_the_package_does_not_have_is_refused(version: str) -> None:
    path = f"{os.path.dirname(require_node())}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", ".ci/release", "check", version],
        cwd=ROOT,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"npm version {version}" in done.stderr


def test_a_registry_that_cannot_be_asked_has_not_said_that_the_version_is_free(
    tmp_path: Path,
) -> None:
    browser = tmp_path / "client" / "turnwire_browser"
    browser.mkdir(parents=True)
    shutil.copy(ROOT / "client/turnwire_browser/package.json", browser)
    for folder in (".ci", ".github"):
        (tmp_path / folder).mkdir()
    shutil.copy(ROOT / ".ci/release", tmp_path / ".ci")
    (tmp_path / ".github/CHANGELOG.md").write_text(f"## [{VERSION}]\n")
    nowhere = "http://127.0.0.1:9"
    done = subprocess.run(
        ["bash", ".ci/release", "check", VERSION],
        cwd=tmp_path,
        env={
            "PATH": f"{os.path.dirname(require_node())}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": f"{nowhere}/simple",
            "PIP_RETRIES": "1",
            "npm_config_registry": nowhere,
            "npm_config_fetch_retries": "0",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "no answer" in done.stderr
    assert "not there yet" not in done.stdout


def test_what_is_published_is_made_of_the_commit_and_of_nothing_that_the_gate_has_left() -> None:
    steps = [step.get("run", "") for step in WORKFLOW["jobs"]["build"]["steps"]]
    told = [
        next(at for at, run in enumerate(steps) if part in run)
        for part in (".ci/release check", "bash .ci/run", "git clean -xdf", ".ci/release build")
    ]
    assert told == sorted(told)


def test_it_is_started_by_hand_and_published_after_an_approval_with_what_was_built() -> None:
    # YAML reads the key `on` as true.
    assert set(WORKFLOW[True]) == {"workflow_dispatch"}
    build, publish = WORKFLOW["jobs"]["build"], WORKFLOW["jobs"]["publish"]
    assert (publish["needs"], publish["if"]) == ("build", "inputs.publish")
    assert publish["environment"] == "release"
    # Whoever may publish runs nothing of this repository.
    assert not any("checkout" in step.get("uses", "") for step in publish["steps"])
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert all("secrets." not in str(job) for job in (build, publish))
    uses = [step["uses"] for job in (build, publish) for step in job["steps"] if "uses" in step]
    assert all("@" in name for name in uses)
