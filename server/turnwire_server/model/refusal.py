"""Reads the body of an HTTP error, up to a bound. Knows HTTP, and nothing of what the body says.

The SDK reads such a body whole, whatever its size, before it raises; whoever answers may not be the
API at all.
"""

import zlib

import httpx2
from pydantic_core import from_json

__all__ = ["MAX_BODY_BYTES", "body_of"]

MAX_BODY_BYTES = 64 * 2**10


async def body_of(response: httpx2.Response) -> object:
    """The body as parsed JSON, or as text where it is none; what is beyond the bound is not read.

    Closes the response. The caller bounds the time.

    Raises:
        httpx2.HTTPError: the connection failed meanwhile.
    """
    encoding = response.headers.get("content-encoding", "identity").lower()
    body = bytearray()
    try:
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) >= MAX_BODY_BYTES:
                break
    finally:
        await response.aclose()
    text = _decoded(bytes(body[:MAX_BODY_BYTES]), encoding).decode(errors="replace").strip()
    try:
        return from_json(text)
    except ValueError:
        return text


def _decoded(body: bytes, encoding: str) -> bytes:
    """Decompressed up to the bound: a small body may stand for a very large one."""
    if encoding not in ("gzip", "deflate"):
        return body if encoding == "identity" else b""
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(body, MAX_BODY_BYTES)
    except zlib.error:
        return b""
