"""Which bytes may be a blob: the types that the Messages API takes, known by how they begin."""

__all__ = ["MEDIA_TYPES", "SIGNATURE_BYTES", "has_signature_of", "media_type_of"]

_MAGIC: dict[str, tuple[bytes, ...]] = {
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/gif": (b"GIF87a", b"GIF89a"),
    "application/pdf": (b"%PDF-",),
}
MEDIA_TYPES = (*_MAGIC, "image/webp")
SIGNATURE_BYTES = 12
"""Every type can be told by so many bytes."""


def media_type_of(data: bytes) -> str | None:
    """The type that bytes begin as; None if it is none of ours."""
    return next(
        (media_type for media_type in MEDIA_TYPES if has_signature_of(media_type, data)), None
    )


def has_signature_of(media_type: str, data: bytes) -> bool:
    """Whether bytes begin as one of `MEDIA_TYPES` does."""
    if media_type == "image/webp":  # https://developers.google.com/speed/webp/docs/riff_container
        return data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    return data.startswith(_MAGIC[media_type])
