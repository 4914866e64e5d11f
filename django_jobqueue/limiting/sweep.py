"""The sweep: what calls those whom nobody has called.

Whoever frees a slot calls the next one at once, and whoever cancels one who was called, him behind it. But a limit may be
gone from the settings, a pause be over, a process die between freeing and calling, a worker not have met yet what an operator
has set, or one who was called be put off: then the sweep comes by, about every second.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from time import monotonic

from django.db import transaction

from django_jobqueue.conf import external_queues, get_config
from django_jobqueue.engines import engine_for
from django_jobqueue.limiting import buckets
from django_jobqueue.limiting.limiter import Limiter
from django_jobqueue.limiting.lines import QueueLines
from django_jobqueue.limits import Allowance, Candidate, Limit, QueueRules
from django_jobqueue.models import Run
from django_jobqueue.states import State

LINES = 500
"""Lines that one sweep looks at; the next one goes on from there."""
BATCH = 1000
"""Runs that one transaction calls, from all lines together."""
LONGEST_SECONDS = 0.2
"""How long one sweep goes on in a queue, after its first transaction."""


class Sweep:
    """Looks at all lines, some at a time, and calls where there is a slot for which nobody was called."""

    def __init__(self) -> None:
        self._config = get_config()
        self._engine = engine_for(self._config.database)
        self._limiter = Limiter()
        self._after: dict[str, str] = {}
        """Up to which line each queue is swept."""
        self._called: dict[int, tuple[str, Limit]] = {}
        """Who was called, and from which line that is still limited."""

    def turn(self) -> bool:
        """Sweep; answer whether anybody was called."""
        ends_at = monotonic() + LONGEST_SECONDS
        called = [self._call_until(ends_at, queue, lines) for queue, lines in self._next_lines().items()]
        return any(called)

    def call(self, queue: str, lines: Sequence[Limit]) -> int:
        """Call from *lines* of *queue* whoever can start; answer how many that were.

        Of an external queue that is nobody: its rules are known only where it is worked.
        """
        if queue in external_queues():
            return 0
        if rates := [line for line in lines if line.kind == "rate"]:
            rules = self._limiter.rules(queue)
            buckets.mend(self._config.namespace, queue, rules, rates)
        if not self._vacant(queue, lines):  # without the lock: mostly there is nothing to be done
            return 0
        rules, called = self._engine.insist(partial(self._call_vacant, queue, lines))
        for run in called:
            if run.line is not None and rules.has(run.line):
                self._called[run.id] = queue, run.line
        return len(called)

    def _call_until(self, ends_at: float, queue: str, lines: Sequence[Limit]) -> int:
        """``call`` once, and again until that time as long as there may be more."""
        called = number = self.call(queue, lines)
        while number and monotonic() < ends_at:
            number = self.call(queue, lines)
            called += number
        return called

    def _call_vacant(self, queue: str, lines: Sequence[Limit]) -> tuple[QueueRules, list[Candidate]]:
        """Call, under the lock of the queue, from those of *lines* that have a slot."""
        with self._limiter.lock(queue):
            rules, vacant = self._limiter.rules(queue), self._vacant(queue, lines)
            return rules, QueueLines(self._engine, self._config.namespace, queue, rules).call(vacant)

    def _next_lines(self) -> dict[str, list[Limit]]:
        """The next lines of each queue."""
        external = external_queues()
        queues = {queue: self._after.get(queue, "") for queue in self._config.queues if queue not in external}
        found = self._engine.lines(self._config.namespace, queues, limit=LINES)
        lines: dict[str, list[Limit]] = {}
        for queue, line in found:
            lines.setdefault(queue, []).append(Limit.parse(line))
        self._after = {}
        if len(found) == LINES:  # of a queue with less than its share that was all
            self._after = {queue: line for queue, line in found if len(lines[queue]) >= LINES // len(queues)}
        return lines

    def _vacant(self, queue: str, lines: Sequence[Limit]) -> dict[Limit, int]:
        """How many to call from each line: those that have a slot and were not called for it before."""
        running = self._engine.running(self._config.namespace, [queue])[queue]
        allowance = Allowance(self._limiter.rules(queue), running)
        waiting = self._still_waiting()
        numbers = {line: min(BATCH, allowance.vacant(line, BATCH)) - waiting[queue, line] for line in lines}
        vacant = {line: number for line, number in numbers.items() if number > 0}
        return {line: min(number, max(1, BATCH // len(vacant))) for line, number in vacant.items()}

    def _still_waiting(self) -> Counter[tuple[str, Limit]]:
        """Those who were called before, and whom nobody has taken yet, though anybody might."""
        if self._called:
            claimable = Run.objects.using(self._config.database).filter(
                state=State.PENDING, blocked_on=None, run_at__lte=self._engine.now()
            )
            ids = set(claimable.filter(pk__in=list(self._called)).values_list("pk", flat=True))
            self._called = {run_id: line for run_id, line in self._called.items() if run_id in ids}
        return Counter(self._called.values())


def sweep_queue(queue: str) -> None:
    """Call whoever can start in one queue."""
    config = get_config()
    lines = engine_for(config.database).lines(config.namespace, {queue: ""}, limit=LINES)
    Sweep().call(queue, [Limit.parse(line) for _, line in lines])


def sweep_on_commit(queue: str) -> None:
    """Sweep a queue when the transaction commits, because an operator changes its rules."""
    transaction.on_commit(partial(sweep_queue, queue), using=get_config().database, robust=True)


def call_behind(runs: Iterable[Run]) -> list[str]:
    """When the transaction commits, call those who wait behind pending *runs* that will not start.

    Answers with the queues in which somebody may wait.
    """
    limiter, places = Limiter(), defaultdict[str, list[Candidate]](list)
    for run in runs:
        place = Candidate(run.pk, run.priority, run.run_at, run.job, run.concurrency_key, run.rate_key)
        places[run.queue].append(place)
    limited = []
    for queue, of_queue in places.items():
        rules = limiter.rules(queue)
        if lines := list(dict.fromkeys(line for place in of_queue for line in rules.limits(place))):
            call = partial(Sweep().call, queue, lines)
            transaction.on_commit(call, using=get_config().database, robust=True)
            limited.append(queue)
    return limited
