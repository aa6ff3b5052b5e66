"""The examples of CommonMark's and GFM's specifications, as npm packages carry them."""

from pathlib import Path

from tests.kit.node import run_node
from tests.kit.npm import packages_of

HERE = Path(__file__).parent / "markdown"


def test_the_specifications_examples_hold_but_for_the_listed_ones() -> None:
    packages = packages_of(HERE)
    run_node("--test", str(HERE / "examples.mjs"), PACKAGES=str(packages.folder))
