"""Asks tests/kit/fork_server.py for a process, as which it then acts: `NAME REQUEST`.

The process has its descriptors, its folder and its environment; it ends when the process does, and
with the same exit code. Run without any package, so that it is there at once.
"""

import json
import os
import socket
import sys

__all__: list[str] = []

if __name__ == "__main__":
    name, request = sys.argv[1:]
    place = {"folder": os.getcwd(), "environment": dict(os.environ)}
    reading, writing = os.pipe()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.connect(f"\0{name}")
        message = json.dumps({**json.loads(request), **place}).encode()
        socket.send_fds(server, [message], [0, 1, 2, writing])
    # Nobody but the process holds them: whoever reads its output sees when it has ended.
    for descriptor in (0, 1, writing):
        os.close(descriptor)
    os._exit(abs(int(os.read(reading, 64) or b"1")))
