"""Uploads, one after another on each of several connections, until it is killed.

`python -m tests.bench.uploader PORT CONNECTIONS`; a line with the status of each upload, and an
empty one for each mebibyte on its way.
"""

import asyncio
import os
import sys

SIZE_BYTES = 10 * 1024 * 1024
PART_BYTES = 1024 * 1024


async def upload_for_ever(port: int) -> None:
    """Other bytes each time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    zeros = bytes(PART_BYTES)
    head = b"POST /v1/blobs HTTP/1.1\r\nhost: 127.0.0.1:%d\r\ncontent-type: image/png\r\n"
    head += b"content-length: %d\r\n\r\n\x89PNG\r\n\x1a\n"
    while True:
        writer.write(head % (port, SIZE_BYTES) + os.urandom(PART_BYTES - 8))
        for _ in range(SIZE_BYTES // PART_BYTES - 1):
            writer.write(zeros)
            await writer.drain()
            print(flush=True)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
        await reader.readexactly(length)
        print(answer[9:12].decode(), flush=True)


async def main(port: int, connections: int) -> None:
    """All at once."""
    await asyncio.gather(*(upload_for_ever(port) for _ in range(connections)))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
