"""A process that has imported the service already and forks it on demand, so that a server killed
with -9 is back in milliseconds. Run as `python -m tests.faults.fork_server`; it speaks lines on its
pipes: `PORT DB` in, the child's pid out. The child is the real `turnwire serve`."""

import os
import signal
import sys

from turnwire_server.cli import serve


def main() -> None:
    """Fork a service for each line."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        arguments = line.split()
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, 0)
            os.dup2(null, 1)
            serve.main(args=arguments, standalone_mode=True)
            os._exit(0)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
