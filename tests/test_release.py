"""How a release is made, as far as no registry is needed to see it."""

import os
import subprocess

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
