"""Work, and end when code changes, so that whoever started the process starts it anew."""

from __future__ import annotations

import threading
from collections.abc import Callable

from django.utils import autoreload

from django_jobqueue.worker.exit_codes import EXIT_RECYCLE


def work_until_code_changes(work: Callable[[], int], stop: Callable[[], object]) -> int:
    """Run *work* in a thread while Django's reloader watches the code in this one; return the exit code.

    On a change, *stop* is called and *work* may end in its own time: what runs is finished or handed back.
    """
    reloader = autoreload.get_reloader()
    ended = threading.Event()
    codes: list[int] = []

    def work_and_tell() -> None:
        try:
            codes.append(work())
        finally:
            ended.set()
            reloader.stop()

    try:
        autoreload.start_django(reloader, work_and_tell)
    except SystemExit:  # how the reloader says that code has changed
        stop()
        ended.wait()
        return EXIT_RECYCLE
    return codes[0]
