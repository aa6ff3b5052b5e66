"""Finds the tools in a Python file or module that the operator names."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from turnwire_server.errors import SettingsError
from turnwire_server.tools.define import BuiltinTool, SdkTool
from turnwire_server.tools.port import Tool

__all__ = ["load_tools"]


def load_tools(name: str) -> list[object]:
    """The tools of `path/to/file.py` or `package.module`: its list `tools` if it has one, otherwise
    everything in it that was made with a tool decorator.

    Raises:
        SettingsError: it cannot be imported, or has no tools.
    """
    module = _import(name)
    listed = getattr(module, "tools", None)
    if isinstance(listed, list | tuple):
        return list(listed)
    if listed is not None:
        raise SettingsError(f"tools: `tools` in {name} is not a list")
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, Tool | BuiltinTool | SdkTool) and not isinstance(value, type)
    ]
    if not found:
        raise SettingsError(f"tools: {name} has neither tools nor a list named `tools`")
    return list(found)


def _import(name: str) -> ModuleType:
    try:
        if not name.endswith(".py"):
            sys.path.insert(0, str(Path.cwd()))
            return importlib.import_module(name)
        path = Path(name)
        spec = importlib.util.spec_from_file_location(f"turnwire_tools_{path.stem}", path)
        if spec is None or spec.loader is None or not path.is_file():
            raise SettingsError(f"tools: there is no file {name}")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module
    except SettingsError:
        raise
    except Exception as error:
        # Boundary: the file is foreign code, and its mistakes are for the operator to read.
        problem = f"{type(error).__name__}: {error}"
        raise SettingsError(f"tools: cannot import {name}: {problem}") from error
