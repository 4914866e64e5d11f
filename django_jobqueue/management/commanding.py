"""How a worker process is told to stop: by signals, or by the supervisor that started it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

STDIN = 0


def obey_signals(stop: Callable[[], None]) -> None:
    """Call *stop* for each SIGTERM and Ctrl-C."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop())


def obey_supervisor(stop: Callable[[], None]) -> Callable[[], None]:
    """Call *stop* for each byte of standard input, and once when it ends, because the supervisor is gone.

    A signal that reaches every process of a container reaches this one too, beside the byte that the supervisor then
    sends; both together are one request. So is what calls the function that is returned. Ctrl-C is left to the supervisor.
    """
    once = _Once(stop)
    orders = os.dup(STDIN)
    os.dup2(os.open(os.devnull, os.O_RDONLY), STDIN)  # the programs that jobs start inherit nothing else
    signal.signal(signal.SIGINT, lambda *_: None)  # unlike SIG_IGN, it is not inherited by what jobs start
    signal.signal(signal.SIGTERM, lambda *_: once())
    threading.Thread(target=_listen, args=[orders, once, stop], name="jobqueue-supervised", daemon=True).start()
    return once


class _Once:
    """Passes a call on the first time."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._called = False

    def __call__(self) -> None:
        if not self._called:
            self._called = True
            self._call()


def _listen(orders: int, first: Callable[[], None], again: Callable[[], None]) -> None:
    # Read from the descriptor: a thread that waits in sys.stdin would hold its lock when the interpreter ends.
    stop = first
    while os.read(orders, 1):
        stop()
        stop = again
    first()
