"""How a worker process is told to stop: by signals, or by the supervisor that started it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

STDIN = 0


def obey_signals(stop: Callable[[], None]) -> None:
    """Call *stop* for each SIGTERM and Ctrl-C; for SIGHUP, of which a terminal that is closed may send several, if that is
    the first of all, and ``nohup`` has not said to ignore it.
    """
    once = _Once(stop)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None if once() else stop())
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: once())
    _heed_no_others()


def obey_supervisor(stop: Callable[[], None]) -> Callable[[], object]:
    """Call *stop* for each byte of standard input, and once when it ends, because the supervisor is gone.

    A signal that reaches every process of a container reaches this one too, beside the byte that the supervisor then
    sends; both together are one request. So is what calls the function that is returned. Ctrl-C is left to the supervisor.
    """
    once = _Once(stop)
    orders = os.dup(STDIN)
    os.dup2(os.open(os.devnull, os.O_RDONLY), STDIN)  # the programs that jobs start inherit nothing else
    signal.signal(signal.SIGINT, lambda *_: None)  # unlike SIG_IGN, it is not inherited by what jobs start
    signal.signal(signal.SIGTERM, lambda *_: once())
    signal.signal(signal.SIGHUP, lambda *_: once())
    _heed_no_others()
    threading.Thread(target=_listen, args=[orders, once, stop], name="jobqueue-supervised", daemon=True).start()
    return once


def _heed_no_others() -> None:
    """Let signals that mean nothing here not end the process, as they do by default: its runs would be taken for crashed."""
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, lambda *_: None)


class _Once:
    """Passes a call on the first time, and answers whether it did."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._called = False

    def __call__(self) -> bool:
        if self._called:
            return False
        self._called = True
        self._call()
        return True


def _listen(orders: int, first: Callable[[], None], again: Callable[[], None]) -> None:
    # Read from the descriptor: a thread that waits in sys.stdin would hold its lock when the interpreter ends.
    stop = first
    while os.read(orders, 1):
        stop()
        stop = again
    first()
