"""In a process that tests/kit/fork_server.py has made: the Pythons that it starts are forks, too.

`python -m MODULE` and `python -c PROGRAM`, started by `subprocess`, by asyncio or as the processes
that multiprocessing spawns, become a fork of who starts them: a real process, his child, which has
imported already what he has. It gets the descriptors, the folder, the environment and the group
that it would have been given. This module knows nothing of what is started.
"""

import asyncio
import atexit
import contextlib
import gc
import inspect
import logging
import multiprocessing.util
import os
import runpy
import signal
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

__all__ = ["end", "fork_pythons", "standard_files"]

_EXECUTING = subprocess.Popen
_GIVEN = inspect.signature(_EXECUTING._execute_child)  # type: ignore[attr-defined]
_SPAWNING = multiprocessing.util.spawnv_passfds
_KNOWN_FLAGS = {"-P", "-u"}
_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD}


def fork_pythons() -> None:
    """From now on, in this process alone. It must be one in which no thread ever holds a lock that
    what it starts may want."""
    subprocess.Popen = _Popen  # type: ignore[misc]
    multiprocessing.util.spawnv_passfds = _spawn  # type: ignore[assignment]


class _Popen(subprocess.Popen[Any]):
    """A process that may be a fork of this one."""

    def _execute_child(self, *given: Any) -> None:
        start = _GIVEN.bind(self, *given).arguments
        program = _program(start["args"], start["executable"])
        if program is None:
            super()._execute_child(*given)  # type: ignore[misc]
            return
        self.pid = _fork(program, start)
        self._child_created = True
        ends = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(start[name] for name in ends))  # type: ignore[attr-defined]


def _spawn(path: Any, arguments: Any, descriptors: Sequence[int]) -> int:
    """What `multiprocessing` calls for each process."""
    program = _program(arguments, None)
    if program is None:
        return _SPAWNING(path, arguments, descriptors)
    return _fork(program, {"pass_fds": descriptors})


def _fork(program: Callable[[], None], start: dict[str, Any]) -> int:
    """The process in which it runs; see `_become`."""
    # Until it has become another it would take a signal as its parent does, who only notes it.
    held = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    pid = os.fork()
    if pid == 0:
        # Never back into what the parent was about.
        try:
            _become(start)
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
            code = _exit_code(program)
        except BaseException:
            traceback.print_exc()
            code = 1
        end(code)
    signal.pthread_sigmask(signal.SIG_SETMASK, held)
    return pid


def _program(arguments: Sequence[str], executable: object) -> Callable[[], None] | None:
    """What runs in place of this command; None, where it is something else."""
    if isinstance(arguments, str | bytes) or executable is not None:
        return None
    command, *rest = map(os.fsdecode, arguments)
    flags = set[str]()
    while rest and rest[0] in _KNOWN_FLAGS:
        flags.add(rest.pop(0))
    if command != sys.executable or len(rest) < 2 or rest[0] not in ("-m", "-c"):
        return None
    kind, program, *others = rest

    def run() -> None:
        if "-P" in flags and sys.path[0] == "":
            del sys.path[0]
        sys.argv = [kind, *others]
        if kind == "-c":
            exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})
            return
        with warnings.catch_warnings():
            # It has been imported, by who starts it.
            warnings.filterwarnings("ignore", category=RuntimeWarning, module="runpy")
            runpy.run_module(program, run_name="__main__", alter_sys=True)

    return run


def _become(start: dict[str, Any]) -> None:
    """Makes of this process what is there when a Python begins; `start`: what `subprocess` was
    given, and has made of it."""
    subprocess.Popen = _EXECUTING  # type: ignore[misc]
    multiprocessing.util.spawnv_passfds = _SPAWNING
    signal.set_wakeup_fd(-1)
    for number in _SIGNALS:
        handler = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, handler)
    asyncio.set_event_loop(None)
    for known in (logging.getLogger(), *map(logging.getLogger, logging.root.manager.loggerDict)):
        known.handlers.clear()
        known.setLevel(logging.NOTSET)
    logging.getLogger().setLevel(logging.WARNING)
    if start.get("start_new_session"):
        os.setsid()
    elif (group := start.get("process_group", -1)) >= 0:
        os.setpgid(0, group)
    for at, name in enumerate(("p2cread", "c2pwrite", "errwrite")):
        if (given := start.get(name, -1)) >= 0:
            os.dup2(given, at)
    # Whatever the parent has open: the objects that hold it are never destroyed.
    kept = {0, 1, 2, *start["pass_fds"]}
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        if descriptor not in kept:
            with contextlib.suppress(OSError):  # The folder itself, which is closed again.
                os.close(descriptor)
    if (folder := start.get("cwd")) is not None:
        os.chdir(folder)
    if (environment := start.get("env")) is not None:
        os.environ.clear()
        os.environ.update(environment)
    standard_files()


def standard_files() -> None:
    """`sys.stdin` and its like, as they are when a Python begins, over 0, 1 and 2."""
    told = os.environ.get("PYTHONIOENCODING")
    sys.stdin = os.fdopen(0, encoding=told, closefd=False)
    sys.stdout = os.fdopen(1, "w", buffering=1, encoding=told, closefd=False)
    sys.stderr = os.fdopen(
        2, "w", buffering=1, encoding=told, errors="backslashreplace", closefd=False
    )


def _exit_code(program: Callable[[], None]) -> int:
    """Runs it to its end."""
    try:
        program()
    except SystemExit as ended:
        if isinstance(ended.code, int | None):
            return ended.code or 0
        print(ended.code, file=sys.stderr)
        return 1
    return 0


def end(code: int) -> NoReturn:
    """Ends as an interpreter does, but for one thing: what its modules hold is not taken apart.
    That they are there at all is what was saved, and to take them apart costs as much again.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    gc.collect()  # What the program has left complains, where it has a reason to.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
