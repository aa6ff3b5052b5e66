"""Files that the provider's tools made, read from its Files API; knows no conversation.

https://docs.claude.com/en/docs/build-with-claude/files. Only what tools have made can be read.
"""

import asyncio
from collections.abc import AsyncIterator, Callable

import anthropic
import httpx2
from anthropic import AsyncAnthropic

from turnwire_protocol import Code
from turnwire_server.errors import ModelError
from turnwire_server.model.port import ProviderFile

__all__ = ["open_file"]

_FAILURES = (anthropic.AnthropicError, httpx2.HTTPError, OSError, ValueError)


async def open_file(
    client: object,
    id: str,
    *,
    max_bytes: int,
    stall_timeout_seconds: float,
    classify: Callable[[Exception], ModelError],
) -> ProviderFile:
    """See `Model.open_file`; `classify` says what a failure of the SDK is."""
    try:
        if not isinstance(client, AsyncAnthropic):
            # Bedrock and Vertex have none.
            raise ModelError(Code.NOT_FOUND, "this provider gives out no files")
        async with asyncio.timeout(stall_timeout_seconds):
            # Streaming, so that of an error no more is read than is wanted.
            files = client.files.with_streaming_response
            async with files.retrieve_metadata(id) as response:
                metadata = await response.parse()
            if metadata.size_bytes > max_bytes:
                raise ModelError(Code.TOO_LARGE, f"the file is larger than {max_bytes} bytes")
            parts = _parts(client, id, max_bytes, stall_timeout_seconds)
            # Nothing of it; but from here on it is known that there is something to read.
            await anext(parts)
    except TimeoutError as error:
        raise ModelError(Code.TIMEOUT, "the provider did not answer in time") from error
    except _FAILURES as error:
        raise classify(error) from error
    return ProviderFile(metadata.filename, metadata.mime_type, parts)


async def _parts(
    client: AsyncAnthropic, id: str, max_bytes: int, stall_timeout_seconds: float
) -> AsyncIterator[bytes]:
    async with client.files.with_streaming_response.download(id) as response:
        yield b""
        parts = aiter(response.iter_bytes())
        left = max_bytes
        while True:
            async with asyncio.timeout(stall_timeout_seconds):
                part = await anext(parts, b"")
            left -= len(part)
            if not part:
                return
            if left < 0:
                raise ModelError(Code.TOO_LARGE, f"the file is larger than {max_bytes} bytes")
            yield part
