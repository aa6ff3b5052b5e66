"""How an extra of this distribution is installed: of client and server, which never import each
other, this is what both have. It asks no package index."""

import json
from importlib.metadata import PackageNotFoundError, distribution
from urllib.parse import urlsplit
from urllib.request import url2pathname

__all__ = ["how_to_install"]


def how_to_install(extra: str, *, name: str = "turnwire") -> str:
    """The command that adds the extra, from where this was installed.

    What came from an index comes from there again; a folder, a file or an address is named, for no
    index may have it. (https://packaging.python.org/en/latest/specifications/direct-url/)
    """
    try:
        told = distribution(name).read_text("direct_url.json")
        source = str(json.loads(told)["url"]) if told else name
    except (PackageNotFoundError, ValueError, KeyError):
        source = name
    parts = urlsplit(source)
    if parts.scheme == "file":
        return f"pip install '{url2pathname(parts.path)}[{extra}]'"
    return f"pip install '{name}[{extra}]{f' @ {source}' if parts.scheme else ''}'"
