"""What ``runjobs`` prints: a banner, and one line for each attempt."""

from __future__ import annotations

import os
import re
import sysconfig
import time
from collections.abc import Mapping
from pathlib import Path

from django.core.management.base import OutputWrapper
from django.core.management.color import Style
from django.db import connections
from django.utils import timezone

from django_jobqueue import __version__
from django_jobqueue.conf import get_config
from django_jobqueue.engines.base import Claim, LostRun, Settlement
from django_jobqueue.management.worked_queues import label
from django_jobqueue.printable import encodable, printable, printable_lines
from django_jobqueue.states import Outcome, State
from django_jobqueue.worker.observer import Observer
from django_jobqueue.worker.runner import Ended

MARKS = {
    Outcome.COMPLETED: "✓",
    Outcome.RETRIED: "✗",
    Outcome.SNOOZED: "…",
    Outcome.RELEASED: "↩",
    Outcome.CANCELLED: "⊘",
    Outcome.CRASHED: "✗",
}
DEAD = "☠"

FRAME = re.compile(r'^ +File "(.+)", line (\d+)', re.MULTILINE)
FULL_STOP = re.compile(r"(?<!\.)\.$")
FOREIGN = (sysconfig.get_paths()["stdlib"], os.path.dirname(os.path.dirname(__file__)), "<")
"""Where frames that are not the project's own come from."""


class Console(Observer):
    """Lines for people. Verbosity 0 prints nothing, 1 a line per attempt, 2 tracebacks too."""

    def __init__(self, out: OutputWrapper, style: Style, *, verbosity: int, banner: bool = True) -> None:
        self._out = out
        self._style = style
        self._verbosity = verbosity
        self._banner = banner

    def started(self, name: str, queues: Mapping[str, int | None], concurrency: int) -> None:
        if not self._banner:
            return
        alias = get_config().database
        database = f"{connections[alias].display_name} {alias!r}"
        named = ", ".join(label(queue, most) for queue, most in queues.items())
        slots = "1 slot" if concurrency == 1 else f"{concurrency} slots"
        self._write(f"django-jobqueue {__version__} · {database} · {slots} for {named}")
        self._write(f"Started as {name}. Ctrl-C once: finish; twice: hand back.")

    def stopping(self, running: int, grace_seconds: float) -> None:
        runs = "1 run" if running == 1 else f"{running} runs"
        if running:
            self._write(f"Stopping: finishing {runs}, for up to {grace_seconds:g} s. Again to hand them back.")

    def ended(self, ended: Ended, state: State) -> None:
        settlement = ended.settlement
        line = self._line(ended.claim, settlement, state, _duration(ended))
        self._write(line, self._style_of(state, settlement))
        if settlement.traceback and self._verbosity >= 2:
            self._write(printable_lines(settlement.traceback.rstrip()))

    def reaped(self, lost: LostRun, settlement: Settlement, state: State) -> None:
        self._write(self._line(lost, settlement, state, "-"), self._style_of(state, settlement))

    def _line(self, run: Claim | LostRun, settlement: Settlement, state: State, duration: str) -> str:
        now = time.strftime("%H:%M:%S")  # Django has set the process to TIME_ZONE
        name = f"{run.queue}.{run.job}"
        outcome = Outcome.CANCELLED if state == State.CANCELLED else settlement.outcome
        mark = DEAD if state in (State.FAILED, State.DEAD_LETTERED) else MARKS.get(outcome, "✗")
        error = FULL_STOP.sub("", settlement.error or "")  # the line goes on
        told = [part for part in (error, _place(settlement.traceback), _consequence(settlement, state)) if part]
        return f"{now} {mark} {name:<30} #{run.id:<8} {duration:>8}  {printable('; '.join(told))}".rstrip()

    def _style_of(self, state: State, settlement: Settlement) -> str:
        if state == State.COMPLETED:
            return "SUCCESS"
        if state in (State.FAILED, State.DEAD_LETTERED):
            return "ERROR"
        return "WARNING" if settlement.error else "NOTICE"

    def _write(self, line: str, style: str = "") -> None:
        if self._verbosity == 0:
            return
        line = encodable(line, self._out)
        try:
            self._out.write(getattr(self._style, style)(line) if style else line)
            self._out.flush()
        except (OSError, ValueError):  # nobody reads any more; the work goes on
            self._verbosity = 0


def _place(traceback: str | None) -> str:
    """Where the project's own code was last, as ``path:line``; empty where it was not involved."""
    frames = FRAME.findall(traceback or "")
    own = [(path, line) for path, line in frames if not path.startswith(FOREIGN) and "-packages/" not in path]
    if not own:
        return ""
    path, line = own[-1]
    return f"{os.path.relpath(path) if Path(path).is_relative_to(Path.cwd()) else path}:{line}"


def _consequence(settlement: Settlement, state: State) -> str:
    if state == State.PENDING and settlement.run_at is not None and settlement.run_at > timezone.now():
        return f"again at {settlement.run_at.isoformat(sep=' ', timespec='seconds')}"
    if state == State.PENDING:
        return f"again in {settlement.delay_seconds:.3g} s" if settlement.delay_seconds else "again at once"
    if state in (State.FAILED, State.DEAD_LETTERED):
        return f"{state.value.replace('_', '-')}: {settlement.reason}"
    return "cancelled" if state == State.CANCELLED else ""


def _duration(ended: Ended) -> str:
    if ended.settlement.finished is None:  # it goes on in its thread, or was never heard of again
        return "-"
    seconds = ended.seconds
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
