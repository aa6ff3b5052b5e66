"""The JSON schemas of the wire, generated from the types; knows nothing of who reads them.

`python -m turnwire_protocol.schema FOLDER` writes them there; without FOLDER it prints them.
"""

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from turnwire_protocol.codes import PROTOCOL
from turnwire_protocol.commands import Command
from turnwire_protocol.events import KNOWN
from turnwire_protocol.replies import REPLY

__all__ = ["inlined", "on_the_wire", "schemas"]


def schemas() -> dict[str, str]:
    """The text of each schema file (JSON Schema 2020-12), by file name."""
    wire: dict[str, tuple[TypeAdapter[Any], str]] = {
        "commands.json": (TypeAdapter(Command), "A command: client to server."),
        "events.json": (KNOWN, "An event: server to client. Of another type: ignore it."),
        "replies.json": (REPLY, "A message about the connection. Of another type: ignore it."),
    }
    files: dict[str, str] = {}
    for name, (adapter, description) in wire.items():
        schema = on_the_wire(adapter.json_schema())
        head = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": f"{PROTOCOL} {name.removesuffix('.json')}",
            "description": description,
        }
        files[name] = json.dumps(head | schema, indent=1) + "\n"
    return files


def on_the_wire(node: Any) -> Any:
    """A schema of pydantic's without nulls and Python's titles, and with every `type` required that
    names the message.
    """
    if isinstance(node, list):
        return [on_the_wire(item) for item in node]
    if not isinstance(node, dict):
        return node
    # OpenAPI's discriminator is no JSON Schema; the constants of `type` say the same.
    form = {name: on_the_wire(value) for name, value in node.items() if name != "discriminator"}
    if isinstance(form.get("title"), str):
        del form["title"]
    if "default" in form and ("const" in form or form["default"] is None):
        del form["default"]
    branches = form.get("anyOf")
    if branches and {"type": "null"} in branches:
        branches.remove({"type": "null"})
        if len(branches) == 1:
            form = branches[0] | {key: form[key] for key in form if key != "anyOf"}
    properties = node.get("properties")
    if isinstance(properties, dict):
        constants = [name for name, value in properties.items() if "const" in value]
        form["required"] = sorted({*form.get("required", []), *constants})
    return form


def inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema with what it defines in the places that refer to it, for a document that has no room
    for definitions. None of ours refers to itself.
    """
    return {name: _inlined(part, schema.get("$defs", {})) for name, part in _own(schema)}


def _inlined(node: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_inlined(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _inlined(definitions[node["$ref"].rpartition("/")[2]], definitions)
    return {name: _inlined(part, definitions) for name, part in _own(node)}


def _own(schema: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(name, part) for name, part in schema.items() if name != "$defs"]


def main() -> None:
    """Write the files into the folder named, or print them."""
    if len(sys.argv) == 1:
        sys.stdout.write("".join(schemas().values()))
        return
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in schemas().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
