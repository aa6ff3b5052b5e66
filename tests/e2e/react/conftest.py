"""What the files of this folder share: the packages, and our own as it is packed."""

from pathlib import Path

import pytest

from tests.e2e.react.apps import packed
from tests.kit.npm import Packages, packages_of

__all__: list[str] = []


@pytest.fixture(scope="session")
def packages() -> Packages:
    """React, Vite, Next.js and what judges packages."""
    return packages_of(Path(__file__).parent)


@pytest.fixture(scope="session")
def package(packages: Packages, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packed npm package."""
    return packed(tmp_path_factory.mktemp("package"))
