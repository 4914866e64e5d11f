"""A program that runs another one, until its own standard input says to stop, or ends because whoever holds it is gone.

The supervisor starts by it what does not listen to its pipe itself. It is started as a file, and imports nothing of ours.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

STDIN = 0


def main() -> int:
    """Run the command line that is ours without its first word; return its exit code."""
    program = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)  # noqa: S603  # the supervisor's own
    signal.signal(signal.SIGTERM, lambda *_: program.terminate())
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C is for the supervisor
    threading.Thread(target=_listen, args=[program], daemon=True).start()
    code = program.wait()
    if code < 0:  # end as it has ended
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def _listen(program: subprocess.Popen[bytes]) -> None:
    """Ask the program to end for each byte, and once more at the end of the input."""
    while os.read(STDIN, 1):
        program.terminate()
    program.terminate()


if __name__ == "__main__":
    sys.exit(main())
