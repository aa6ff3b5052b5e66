"""The JSON schemas of the wire as JSDoc types, for JavaScript; knows nothing of who imports them.

`python -m turnwire_protocol.typedefs FILE` writes the module; without FILE it prints it.
"""

import json
import sys
from pathlib import Path
from typing import Any

from turnwire_protocol.schema import schemas

__all__ = ["typedefs"]

_HEAD = """\
// The messages of turnwire.v1 as types; nothing here runs, no module loads it.
//
// GENERATED from protocol/schema by `python -m turnwire_protocol.typedefs`: do not edit. What the
// messages mean is in protocol/PROTOCOL.md.
"""
_UNIONS = {"commands.json": "Command", "events.json": "Event", "replies.json": "Reply"}
_ANY_OBJECT = {
    # A program may have a type of its own for what it sends.
    "commands.json": "object",
    "events.json": "Record<string, unknown>",
    "replies.json": "Record<string, unknown>",
}
_PARTS = {
    "Content": 'MessageEvent["content"]',
    "ContentBlock": "Exclude<Content, string>[number]",
    "AttachmentBlock": "ImageBlock | DocumentBlock",
    "LinkBlock": "ImageLink | DocumentLink",
    "RunsOn": 'ToolStartEvent["runs_on"]',
    "CancelOutcome": 'NonNullable<Ack["outcome"]>',
}
"""Names for what the schemas have in place; read out of the messages, so that it stays the same."""
_COLUMNS = 110

Schema = dict[str, Any]


def typedefs() -> str:
    """The text of the JavaScript module: a typedef for each definition, and one for each union."""
    blocks: dict[str, str] = {}
    for file, text in sorted(schemas().items()):
        schema: Schema = json.loads(text)
        types = _Types(schema["$defs"], any_object=_ANY_OBJECT[file])
        for name, definition in schema["$defs"].items():
            block = types.object(name, definition)
            # Content blocks are in commands and in events.
            if blocks.setdefault(types.names[name], block) != block:
                raise ValueError(f"{name} is two things")
        members = [types.type(member) for member in schema["oneOf"]]
        blocks[_UNIONS[file]] = _union(_UNIONS[file], members, schema["description"])
    parts = (f"/** @typedef {{{type_}}} {name} */" for name, type_ in _PARTS.items())
    return "\n\n".join([_HEAD.rstrip(), *blocks.values(), "\n".join(parts), "export {};"]) + "\n"


class _Types:
    """The types of one schema file. An event's is called `…Event`: browsers have an `Error`, and
    Node.js has one too."""

    def __init__(self, definitions: Schema, *, any_object: str) -> None:
        self.names = {
            name: f"{name}Event" if "seq" in definition.get("required", []) else name
            for name, definition in definitions.items()
        }
        self._any_object = any_object

    def object(self, name: str, definition: Schema) -> str:
        lines = ["/**"]
        if "description" in definition:
            lines.append(f" * {definition['description']}")
        lines.append(f" * @typedef {{object}} {self.names[name]}")
        for field, schema in definition["properties"].items():
            label = field if field in definition.get("required", []) else f"[{field}]"
            about = f" {schema['description']}" if "description" in schema else ""
            lines.append(f" * @property {{{self.type(schema)}}} {label}{about}")
        return "\n".join([*lines, " */"])

    def type(self, schema: Schema) -> str:
        """The TypeScript type of what a schema allows; its bounds and patterns have none."""
        match schema:
            case {"$ref": str(reference)}:
                return self.names[reference.rsplit("/", 1)[1]]
            case {"const": value}:
                return json.dumps(value)
            case {"enum": values}:
                return " | ".join(map(json.dumps, values))
            case {"anyOf": branches} | {"oneOf": branches}:
                return " | ".join(map(self.type, branches))
            case {"type": "array", "items": items}:
                return f"ReadonlyArray<{self.type(items)}>"
            case {"type": "object"}:
                return self._any_object
            case {"type": "integer" | "number"}:
                return "number"
            case {"type": "string" | "boolean" as name}:
                return str(name)
        if not schema.keys() - {"description"}:
            return "unknown"
        raise ValueError(f"no type for {schema}")


def _union(name: str, members: list[str], description: str) -> str:
    lines, line = [], " * @typedef {" + members[0]
    for member in members[1:]:
        if len(line) + len(member) > _COLUMNS:
            lines.append(line)
            line = " *  "
        line += f" | {member}"
    return "\n".join(["/**", f" * {description}", *lines, f"{line}}} {name}", " */"])


def main() -> None:
    """Write the module into the file named, or print it."""
    if len(sys.argv) == 1:
        sys.stdout.write(typedefs())
    else:
        Path(sys.argv[1]).write_text(typedefs(), encoding="utf-8")


if __name__ == "__main__":
    main()
