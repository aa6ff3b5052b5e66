"""The files that the API's tools have made, as its Files API gives them; knows no answer."""

import secrets
from dataclasses import dataclass

from aiohttp import web

from turnwire_simulator.blocks import ApiObject

__all__ = ["File", "Files"]


@dataclass(frozen=True)
class File:
    """A file, as its metadata name it."""

    id: str
    name: str
    media_type: str
    content: bytes
    is_downloadable: bool = True

    def metadata(self) -> ApiObject:
        """https://docs.claude.com/en/api/files-metadata"""
        return {
            "id": self.id,
            "type": "file",
            "filename": self.name,
            "mime_type": self.media_type,
            "size_bytes": len(self.content),
            "created_at": "2026-11-20T10:00:00Z",
            "downloadable": self.is_downloadable,
        }


class Files:
    """All files of one simulator."""

    def __init__(self) -> None:
        self.is_away = False
        """Whether the Files API answers every request with an error of its own."""
        self._files: dict[str, File] = {}

    def keep(
        self,
        content: bytes,
        *,
        name: str = "output.csv",
        media_type: str = "text/csv",
        is_downloadable: bool = True,
    ) -> str:
        """A new file; gives its id."""
        id = f"file_{secrets.token_hex(12)}"
        self._files[id] = File(id, name, media_type, content, is_downloadable)
        return id

    def find(self, request: web.Request) -> File | None:
        """The file that the path names."""
        return self._files.get(request.match_info["id"])
