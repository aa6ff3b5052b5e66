"""The built files of the page, as they are sent: media type, encodings, tags, how long they keep.

Nothing is compressed here: the build has done that. They are in memory, so that a server shows one
page for as long as it runs, and not half of the next one while that is built or installed.
"""

import gzip
import json
import re
from collections.abc import Mapping
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Self

from fastapi import Request, Response
from starlette.staticfiles import NotModifiedResponse

from turnwire_server.page_options import PageOptions

__all__ = ["OUTDATED", "PageFile", "dressed", "outdated", "page_files"]

_HEADERS = {
    "Content-Security-Policy": (
        # blob: for images whose bytes came with the token: the page fetched them itself.
        "default-src 'self'; img-src 'self' blob:; base-uri 'self'; form-action 'self';"
        " frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
}
# The best first. Browsers take Brotli only over TLS and on this machine.
_ENCODINGS = {"br": ".br", "gzip": ".gz"}
_FOREVER = "public, max-age=31536000, immutable"
_MANIFEST = "manifest.webmanifest"
_BRAND = PageOptions().brand
_PARTS = re.compile(r'"(page/[\w-]+\.(js|css))"')
_HASHED = "page"
"""The folder of the files whose name is that of their content."""

OUTDATED = r"page/(?:wire|page|further)-[0-9a-f]{8}\.js|page/page-[0-9a-f]{8}\.css"
"""Names that a page of another version has for what it cannot do without."""


class PageFile:
    """One file. Each encoding of it has a tag of its own, which is that of its bytes."""

    def __init__(self, contents: dict[str, bytes], suffix: str, *, keeps: bool) -> None:
        """`contents` by their encodings, "" for none; `keeps`: its name never stands for anything
        else."""
        self._contents = contents
        self._suffix = suffix
        self._tags = {
            encoding: f'"{sha256(content).hexdigest()[:32]}"'
            for encoding, content in self._contents.items()
        }
        self._type = _TYPES[suffix]
        self._headers = {**_HEADERS, "Cache-Control": _FOREVER if keeps else "no-cache"}
        if len(self._contents) > 1:
            self._headers["Vary"] = "Accept-Encoding"
        if suffix == ".html" and (parts := _PARTS.findall(contents[""].decode())):
            # A browser asks for these as soon as it has read the head of the answer.
            self._headers["Link"] = ", ".join(
                f"<{part}>; rel={'modulepreload' if kind == 'js' else 'preload; as=style'}"
                for part, kind in parts
            )
        if suffix == ".js":
            # Any page may import the module: it holds no secret.
            self._headers["Access-Control-Allow-Origin"] = "*"

    @classmethod
    def read(cls, path: Path, *, keeps: bool) -> Self:
        """The file at `path`, with what the build has compressed of it beside it."""
        contents = {"": path.read_bytes()}
        for encoding, suffix in _ENCODINGS.items():
            compressed = path.with_name(path.name + suffix)
            if compressed.exists():
                contents[encoding] = compressed.read_bytes()
        return cls(contents, path.suffix, keeps=keeps)

    def passing(self) -> Self:
        """The same under a name that stands for something else elsewhere."""
        return type(self)(self._contents, self._suffix, keeps=False)

    @property
    def content(self) -> bytes:
        """As it is, without an encoding."""
        return self._contents[""]

    def response(self, request: Request) -> Response:
        """The answer to GET and HEAD."""
        asked = request.headers
        encoding = self._encoding(_acceptable(asked.get("accept-encoding", "")))
        content, tag = self._contents[encoding], self._tags[encoding]
        headers = {**self._headers, "ETag": tag}
        if encoding:
            headers["Content-Encoding"] = encoding
        headers["Content-Length"] = str(len(content))
        body = b"" if request.method == "HEAD" else content
        response = Response(body, headers=headers, media_type=self._type)
        # A proxy that compresses by itself makes a tag weak.
        known = asked.get("if-none-match", "").split(",")
        if tag in (each.strip().removeprefix("W/") for each in known):
            return NotModifiedResponse(response.headers)
        return response

    def _encoding(self, acceptable: Mapping[str, bool]) -> str:
        others = acceptable.get("*", False)
        found = (name for name in _ENCODINGS if acceptable.get(name, others))
        return next((name for name in found if name in self._contents), "")


def page_files(built: Path) -> dict[str, PageFile]:
    """The files by what stands for them in the address; the page itself has two names.

    Raises:
        FileNotFoundError: they are not built.
    """
    if not (built / "index.html").exists():
        raise FileNotFoundError(
            f"{built} is missing: in a checkout, `uv sync --reinstall-package turnwire` builds the"
            " page, or `python -m turnwire_browser.build`"
        )
    files = {
        path.relative_to(built).as_posix(): PageFile.read(
            path, keeps=path.parent == built / _HASHED
        )
        for path in sorted(built.rglob("*"))
        if path.suffix in _TYPES
    }
    return files | {"": files["index.html"]}


def dressed(files: Mapping[str, PageFile], options: PageOptions) -> Mapping[str, PageFile]:
    """The files of a page that presents itself like this; compressed now, once for the service."""
    if options == PageOptions():
        return files
    said = options.model_dump(exclude_none=True)
    html, brand = files["index.html"].content.decode(), escape(options.brand)
    html = html.replace(f"<title>{_BRAND}</title>", f"<title>{brand}</title>{_meta(said)}")
    html = html.replace(f">{_BRAND}</span>", f">{brand}</span>")
    manifest = json.loads(files[_MANIFEST].content)
    manifest |= {"name": options.brand, "short_name": options.brand}
    page = _compressed(html.encode(), ".html")
    return {
        **files,
        "": page,
        "index.html": page,
        _MANIFEST: _compressed(json.dumps(manifest).encode(), ".webmanifest"),
    }


def outdated(files: Mapping[str, PageFile], name: str) -> PageFile:
    """For a name that `OUTDATED` matches: a script that loads the page of now, or its style.

    While servers are updated one by one, one of before may have sent the page.
    """
    if name.endswith(".js"):
        return files["outdated.js"]
    (style,) = (
        file
        for known, file in files.items()
        if re.fullmatch(OUTDATED, known) and known.endswith(".css")
    )
    return style.passing()


def _meta(said: Mapping[str, str]) -> str:
    return f'<meta name="turnwire" content="{escape(json.dumps(said))}">'


def _compressed(content: bytes, suffix: str) -> PageFile:
    return PageFile({"": content, "gzip": gzip.compress(content, mtime=0)}, suffix, keeps=False)


def _acceptable(header: str) -> dict[str, bool]:
    """What an Accept-Encoding says of each coding: whether it may be used (RFC 9110, 12.5.3)."""
    said: dict[str, bool] = {}
    for part in header.lower().split(","):
        name, _, weight = part.partition(";")
        said[name.strip()] = weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return said
