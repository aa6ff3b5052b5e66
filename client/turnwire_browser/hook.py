"""Hatchling's hook: whatever it installs or packs has the chat page built before."""

import sys
from pathlib import Path

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# The project is not installed yet.
sys.path.insert(0, str(Path(__file__).parents[1]))

from turnwire_browser.build import BuildError, build, requirements

__all__ = ["PageHook"]


class PageHook(BuildHookInterface[BuilderConfig]):
    """Builds the page for sdist, wheel and editable installation, where it is not there."""

    def dependencies(self) -> list[str]:
        """What the build wants of PyPI, asked before it begins."""
        return requirements()

    def initialize(self, version: str, build_data: dict[str, object]) -> None:
        """Before the files are collected."""
        try:
            build()
        except BuildError as error:
            self.app.abort(str(error))
