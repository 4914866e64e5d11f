"""Process 1 of a container in which a worker works alone: starts that worker, and collects what its jobs leave behind.

A process whose parent has ended becomes a child of process 1. A worker could not tell it from those that its jobs have
started and wait for, and would take their exit codes away. This is started as a file, and imports nothing of ours.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress

PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
HEARD = (*PASSED_ON, signal.SIGCHLD)


def become_process_one(command: list[str]) -> None:
    """Let this process, which is process 1, run *command* in another one, and take little memory itself."""
    os.execv(sys.executable, [sys.executable, "-I", "-S", __file__, *command])  # noqa: S606  # our own command line


def main() -> int:
    """Run the command line that is ours without its first word; return its exit code, as a shell would tell it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)  # none is lost before the worker is there
    # In a group of its own: Ctrl-C reaches it once.
    worker = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, setpgroup=0, setsigmask=[])
    while (code := _collect(worker)) is None:
        number = signal.sigwait(HEARD)
        if number != signal.SIGCHLD:
            os.kill(worker, number)
    return code if code >= 0 else 128 - code


def _collect(worker: int) -> int | None:
    """Collect what has ended; answer with the exit code of the worker, if it is among that."""
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == worker:
                return os.waitstatus_to_exitcode(ended[1])
    return None


if __name__ == "__main__":
    sys.exit(main())
