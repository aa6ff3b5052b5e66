"""A process that has imported the service and forks itself: what it starts is there in no time.

A start costs two seconds of a processor, nearly all of them for imports, and the tests start the
service some hundred times. Run by tests/kit/forked.py, which sends on a socket what to start; so
does tests/kit/fork_client.py, on one that it finds by its name.
"""

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
from types import FrameType

from tests.kit.fork_python import end, standard_files
from turnwire_server import Turnwire
from turnwire_server.app import create_app
from turnwire_server.model.clients import connect

__all__ = ["MAX_REQUEST_BYTES"]

MAX_REQUEST_BYTES = 1 << 18

_IMPORTED = (
    "turnwire_server.flags",
    "turnwire_server.serve",
    "turnwire_server.model.claude",
    "turnwire_server.workers",
    "turnwire_server.store.postgres",
    "httpcore2",
    "pydantic.v1",
    "uvicorn.lifespan.on",
)
"""What `turnwire serve` imports, some of it late."""

_STATUS = 3
"""The place of the pipe for the exit code among what a request brings: after 0, 1 and 2."""


def _warm() -> None:
    """Does what a start does once: the endpoints are made, and FastAPI asks of hundreds of classes
    what they are. What is there by then is no garbage of any child's."""
    create_app(Turnwire(client=connect("http://127.0.0.1:9", "none"), db=":memory:"))
    gc.collect()
    gc.freeze()


def _ignored(signal: int, frame: FrameType | None) -> None:
    """A signal without a handler would wake nobody."""


def _serve(control: socket.socket, listener: socket.socket) -> str | None:
    """Starts what is asked for until nobody can ask any more; in a child, gives what it runs."""
    for module in _IMPORTED:
        importlib.import_module(module)
    _warm()
    children: dict[int, int] = {}
    woken, waking = socket.socketpair()
    woken.setblocking(False)
    waking.setblocking(False)
    signal.signal(signal.SIGCHLD, _ignored)
    signal.set_wakeup_fd(waking.fileno())
    while True:
        readable, _, _ = select.select([control, listener, woken], [], [])
        if woken in readable:
            woken.recv(4096)
            _reap(children)
        if control in readable:
            asking = control
        elif listener in readable:
            asking = listener.accept()[0]
        else:
            continue
        message, descriptors, _, _ = socket.recv_fds(asking, MAX_REQUEST_BYTES, _STATUS + 1)
        if not message and asking is control:
            for pid in children:
                os.kill(pid, signal.SIGKILL)
            return None
        if message:
            request = json.loads(message)
            for module in request.get("imports", ()):
                importlib.import_module(module)
            gc.freeze()  # Nor is that garbage of any child's.
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for end in (asking, control, listener, woken, waking):
                    end.close()
                for status in children.values():
                    os.close(status)
                return _become(request, descriptors)
            for descriptor in descriptors[:_STATUS]:
                os.close(descriptor)
            children[pid] = descriptors[_STATUS]
            if asking is control:
                control.send(str(pid).encode())
        if asking is not control:
            asking.close()


def _reap(children: dict[int, int]) -> None:
    """Tells how those ended that did."""
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        told = children.pop(pid)
        with contextlib.suppress(BrokenPipeError):  # Who wanted to know may have been killed.
            os.write(told, str(os.waitstatus_to_exitcode(status)).encode())
        os.close(told)


def _become(request: dict[str, object], descriptors: list[int]) -> str:
    """Makes of this process what `python -c` would be that was started so; gives its program."""
    for at, descriptor in enumerate(descriptors):
        if at < _STATUS:
            os.dup2(descriptor, at)
        os.close(descriptor)
    environment, arguments = request["environment"], request["arguments"]
    assert isinstance(environment, dict)
    assert isinstance(arguments, list)
    os.environ.clear()
    os.environ.update(environment)
    standard_files()
    os.chdir(str(request["folder"]))
    sys.path[0] = ""
    sys.argv = ["-c", *arguments]
    return str(request["program"])


if __name__ == "__main__":
    program = _serve(*(socket.socket(fileno=int(argument)) for argument in sys.argv[1:]))
    if program is not None:
        # Down here nothing of this module is around it.
        try:
            exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})
            code = 0
        except SystemExit as ended:
            if not isinstance(ended.code, int | None):
                raise
            code = ended.code or 0
        # Whatever else is raised ends it as it ends every program.
        end(code)
