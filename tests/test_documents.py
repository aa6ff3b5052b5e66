"""What the documents name is there: files, functions, endpoints, numbered guarantees."""

import ast
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.kit.oracle import GUARANTEES
from turnwire_server import Turnwire, create_app
from turnwire_server.model.clients import connect

ROOT = Path(__file__).parents[1]
DOCUMENTS = ["README.md", "client/CLIENTS.md", "client/TERMINAL.md", "protocol/PROTOCOL.md"]
DOCUMENTS += ["server/EMBED.md", "server/OPERATE.md"]
DOCUMENTS += [f".github/{path.name}" for path in sorted((ROOT / ".github").glob("*.md"))]
FOLDERS = (".ci", ".github", "client", "protocol", "server", "tests")
OTHERS = {"/openapi.json", "answer.json", "Next.js", "Node.js", "my_tools.py", "servers.json"}
"""What only looks like a file of ours: an endpoint, a method, a program, files of the reader's."""

FILE = re.compile(r"(?<![\w./-])[\w./*-]+\.(?:conf|css|html|js|json|md|mjs|py|toml|yaml)\b")
FOLDER = re.compile(r"`([\w.-]+(?:/[\w.-]+)*/)`")
PROTOCOL = (ROOT / "protocol" / "PROTOCOL.md").read_text("utf-8")


def files() -> set[str]:
    """All files of the repository, as paths from its root."""
    found = {path.name for path in ROOT.iterdir() if path.is_file()}
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and not {"__pycache__", "node_modules"} & {*path.parts}:
                found.add(path.relative_to(ROOT).as_posix())
    return found


FILES = files()


def exists(name: str) -> bool:
    """Whether a file or folder is called so: its whole path, or the end of it."""
    if name.endswith("/"):
        return any(f"/{name}" in f"/{path}" for path in FILES)
    name = name.removeprefix("./")
    return any(fnmatch(path, name) or fnmatch(path, f"*/{name}") for path in FILES)


def missing(text: str) -> set[str]:
    """The files and folders that a text names and that are not there."""
    named = set(FILE.findall(text)) | set(FOLDER.findall(text))
    return {name for name in named - OTHERS if not exists(name)}


def members() -> dict[str, set[str]]:
    """The methods and fields of each class of the packages, by the name of the class."""
    found: dict[str, set[str]] = {}
    for path in FILES:
        if path.endswith(".py") and not path.startswith("tests/"):
            for node in ast.walk(ast.parse((ROOT / path).read_text("utf-8"))):
                if isinstance(node, ast.ClassDef):
                    names = (getattr(part, "name", "") for part in node.body)
                    found.setdefault(node.name, set()).update(names)
    return found


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_that_a_document_names_is_there(document: str) -> None:
    assert not missing((ROOT / document).read_text("utf-8"))


def test_a_name_that_is_not_there_is_found() -> None:
    assert missing("as in `core/hub.py`, `core/`, store/sqlite/store.py, `vectors/*.json`") == set()
    wrong = {"core/no_hub.py", "nowhere/", "schema/*.toml", "DESIGN.md"}
    assert missing("`core/no_hub.py` `nowhere/` (`schema/*.toml`), DESIGN.md") == wrong


def test_every_method_that_the_architecture_names_is_there() -> None:
    text = (ROOT / ".github" / "ARCHITECTURE.md").read_text("utf-8")
    named = set(re.findall(r"\b([A-Z]\w*)\.([a-z_]+)\b", re.sub(FILE, "", text)))
    known = members()
    assert len(named) > 20
    assert {(name, part) for name, part in named if part not in known.get(name, ())} == set()


def test_no_source_cites_a_document_that_is_not_in_the_repository() -> None:
    wrong: dict[str, set[str]] = {}
    for path in FILES:
        # By name (NOTES.md), or by section: the name in capitals, then the section's sign.
        if path.startswith(("client/", "protocol/", "server/", "tests/")) and path.endswith(
            (".py", ".mjs")
        ):
            text = (ROOT / path).read_text("utf-8")
            cited = set(re.findall(r"\b[A-Z_]+\.md\b", text))
            cited |= {f"{name}.md" for name in re.findall(r"\b([A-Z]{4,}) \u00a7", text)}
            if absent := {name for name in cited if not exists(name)}:
                wrong[path] = absent
    assert wrong == {"tests/test_documents.py": {"DESIGN.md", "NOTES.md"}}


def test_the_oracle_knows_the_guarantees_by_the_names_of_the_protocol() -> None:
    chapter = PROTOCOL.split("\n## Guarantees\n", 1)[1].split("\n## ", 1)[0]
    named = re.findall(r"^(\d)\. \*\*(.+?)\.\*\*", chapter, flags=re.MULTILINE)
    assert {int(number): name for number, name in named} == GUARANTEES


async def test_every_endpoint_is_in_the_protocol() -> None:
    chapter = PROTOCOL.split("\n## SSE and REST\n", 1)[1].split("\n## ", 1)[0]
    documented: set[tuple[str, str]] = set()
    for row in re.findall(r"^\| `(.*?)` \|", chapter, flags=re.MULTILINE):
        method = path = ""
        for call in re.split(r"`, `", row):
            # "…/decide": all but the end is as in the call before it.
            verb, _, rest = call.rpartition(" ")
            method = verb or method
            rest = rest.partition("[")[0].partition("?")[0]
            path = path.rpartition("/")[0] + rest.removeprefix("…") if rest[0] == "…" else rest
            documented.add((method.lower(), re.sub(r"\{.*?\}", "{}", path)))
    turnwire = Turnwire(client=connect("http://127.0.0.1:1", "test-key"), wires=[])
    paths = create_app(turnwire).openapi()["paths"]
    served = {(method, re.sub(r"\{.*?\}", "{}", path)) for path in paths for method in paths[path]}
    await turnwire.close()
    assert served == documented
