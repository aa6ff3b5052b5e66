"""One attacker in a process of its own: `python -m tests.bench.attacker KIND PORT TOKEN`.

It comes back at once whenever it is thrown out.
"""

import asyncio
import base64
import os
import select
import socket
import sys
from collections.abc import Callable
from threading import Thread

__all__ = ["KINDS"]

_MASKED = b"\x80\x00\x00\x00\x00"
_JSON_PING = b'{"type":"ping","id":"1"}'
_HEAD = (
    b"GET /v1/ws HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n"
    b"Sec-WebSocket-Protocol: turnwire.v1\r\n%s\r\n"
)
_POST = b"POST /v1/chat HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nTransfer-Encoding: chunked\r\n%s\r\n"
_CHUNK_BYTES = 256 * 1024
_STALLED_SECONDS = 0.5
_SILENT = 5_000
_SILENT_RETRY_SECONDS = 5.0

_FRAMES = {
    "empty frames": b"\x81" + _MASKED,
    "continuations": b"\x00" + _MASKED,
    "pings": b"\x89" + _MASKED,
    "JSON pings": b"\x81" + bytes([0x80 | len(_JSON_PING)]) + bytes(4) + _JSON_PING,
}
_KNOWN_PINGS, _CHUNKS, _SILENCE = (
    "JSON pings, with credentials",
    "one-byte chunks",
    "silent connections",
)
_CROWD = 64
_AT_ONCE = f", {_CROWD} at once"
KINDS = (*_FRAMES, _KNOWN_PINGS, _CHUNKS, _KNOWN_PINGS + _AT_ONCE, _CHUNKS + _AT_ONCE, _SILENCE)


def _flood(port: int, hello: bytes, first: bytes, piece: bytes) -> None:
    """Write the pieces as fast as they are taken, read what comes back, and begin again as soon as
    nothing is taken any more."""
    data = memoryview(piece * (_CHUNK_BYTES // len(piece)))
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as peer:
                peer.sendall(hello)
                if first:
                    peer.recv(65536)
                    peer.sendall(first)
                peer.setblocking(False)
                _pump(peer, data)
        except OSError:
            continue


def _pump(peer: socket.socket, data: memoryview) -> None:
    sent = 0
    while True:
        readable, writable, _ = select.select([peer], [peer], [], _STALLED_SECONDS)
        if readable and not peer.recv(1 << 20):
            return
        if writable:
            sent = (sent + peer.send(data[sent:])) % len(data)
        if not (readable or writable):
            return


async def _be_silent(port: int) -> None:
    """One connection after another that says nothing."""
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await reader.read()
            writer.close()
        except OSError:
            pass
        await asyncio.sleep(_SILENT_RETRY_SECONDS)


async def _silent(port: int) -> None:
    await asyncio.gather(*(_be_silent(port) for _ in range(_SILENT)))


def _attack(kind: str, port: int, token: str) -> None:
    bearer = b"Authorization: Bearer %s\r\n" % token.encode()
    key = base64.b64encode(os.urandom(16))
    attacks: dict[str, Callable[[], None]] = {
        name: lambda piece=piece: _flood(port, _HEAD % (port, key, b""), b"\x89" + _MASKED, piece)  # type: ignore[misc]
        for name, piece in _FRAMES.items()
    }
    known = _HEAD % (port, key, bearer)
    attacks[_KNOWN_PINGS] = lambda: _flood(port, known, b"\x89" + _MASKED, _FRAMES["JSON pings"])
    attacks[_CHUNKS] = lambda: _flood(port, _POST % (port, bearer), b"", b"1\r\nx\r\n")
    attacks[_SILENCE] = lambda: asyncio.run(_silent(port))
    attack = attacks[kind.removesuffix(_AT_ONCE)]
    for _ in range(_CROWD - 1 if kind.endswith(_AT_ONCE) else 0):
        Thread(target=attack, daemon=True).start()
    attack()


if __name__ == "__main__":
    # It stands for a machine of its own: it is not to take the processor of who measures.
    os.nice(19)
    _attack(sys.argv[1], int(sys.argv[2]), sys.argv[3])
