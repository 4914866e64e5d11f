"""One claim from one queue under its limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from django_jobqueue.engines.base import Bounds, Claim, Engine, Placing
from django_jobqueue.limiting import buckets
from django_jobqueue.limiting.lines import QueueLines, let_go, moved
from django_jobqueue.limiting.standing import Standing
from django_jobqueue.limits import Allowance, Candidate, Limit

LATER_WINDOWS = (100, 1000, 1000, 1000, 1000)
"""How many runs a claim looks at, one window after the other, when the first one did not hold enough that may start."""


class LimitedClaim:
    """Goes through the runs of a queue in the order of claiming: takes who may start, parks who may not.

    Whoever makes one holds the lock of the queue.
    """

    def __init__(
        self,
        engine: Engine,
        namespace: str,
        queue: str,
        standing: Standing,
        *,
        worker: str,
        lease_seconds: float,
        bounds: Bounds,
    ) -> None:
        self._engine = engine
        self._namespace = namespace
        self._queue = queue
        self._rules = standing.rules
        self._worker = worker
        self._lease_seconds = lease_seconds
        self._bounds = bounds
        self._lines = QueueLines(engine, namespace, queue, standing.rules)
        self._now = standing.now
        self._allowance = Allowance(standing.rules, standing.running)
        self._wanted = self._most = 0
        self._claims: list[Claim] = []
        self._taken: list[int] = []
        self._placings: list[Placing] = []
        self._holders: set[Limit] = set()
        self._let_go: Counter[Limit] = Counter()

    def take(self, wanted: int, ahead: int, called: Mapping[Limit, int]) -> tuple[list[Claim], bool]:
        """Claim *wanted* runs, and up to *ahead* more that no other worker would start meanwhile.

        *called* are the limits that have got so many slots back. Who stands in their lines and is not taken is let go.
        Answers also whether there may be more to be had at once.
        """
        self._wanted, self._most = wanted, wanted + ahead
        more = self._look_through(called)
        buckets.save(self._namespace, self._queue, self._allowance.buckets)
        return self._claims, more

    def _look_through(self, called: Mapping[Limit, int]) -> bool:
        """Look at one window after the other; answer whether there may be more to be had at once."""
        waiting = self._front({**called, **self._with_tokens()})
        for size in (self._most, *LATER_WINDOWS):
            seen = self._candidates(size) if self._has_room() else []
            lines = self._decide(waiting + seen)
            if len(self._claims) >= self._wanted or not self._has_room():
                self._call(lines)
                return len(self._claims) >= self._most
            if len(seen) < size and not lines:
                return False
            waiting = self._front({line: max(number, size // len(lines)) for line, number in lines.items()})
        size = self._most - len(self._claims)
        held = self._rules.spelled(self._holders)
        self._call(self._decide(waiting + self._candidates(size, held)))
        return True

    def _candidates(self, number: int, held: Collection[Limit] = ()) -> list[Candidate]:
        """The first so many in sight; without those that the limits *held* hold back."""
        return self._engine.candidates(self._namespace, self._queue, limit=number, held=held, bounds=self._bounds)

    def _with_tokens(self) -> dict[Limit, int]:
        """The lines to which a token has come, and how many of each to look at."""
        if not self._rules.rated:
            return {}
        limits = buckets.due(self._namespace, self._queue, self._now)
        self._load(limits)
        lines = {limit: self._allowance.buckets[limit] for limit in limits if limit in self._allowance.buckets}
        if gone := [limit for limit in limits if limit not in lines]:
            buckets.forget(self._namespace, self._queue, gone)
        for bucket in lines.values() if len(limits) == buckets.MOST_DUE else ():
            bucket.changed = True  # as of now, so that the next claim looks at others
        return {limit: 1 + min(bucket.whole_tokens, self._most) for limit, bucket in lines.items()}

    def _front(self, lines: Mapping[Limit, int]) -> list[Candidate]:
        """The first so many of each line; a bucket learns how many they are, where that is all."""
        found = self._lines.front(lines)
        present = Counter(run.line for run in found if run.waits_for_token)
        for limit, number in lines.items():
            if limit.kind == "rate" and present[limit] < number:
                self._allowance.buckets[limit].count(present[limit])
        return found

    def _call(self, lines: Mapping[Limit, int]) -> None:
        """Let others start who can; to a line for tokens a claim comes by itself."""
        self._lines.call({line: number for line, number in lines.items() if line.kind != "rate"})

    def _decide(self, runs: Sequence[Candidate]) -> dict[Limit, int]:
        """Take or park each of *runs*; answer which lines may have someone for a slot, or a token, that they did not take."""
        self._prepare(runs)
        passed: Counter[Limit] = Counter()
        for run in sorted(runs, key=lambda run: run.claim_order):
            if not self._has_place(run):
                self._leave(run)
            elif (holder := self._allowance.admit(run)) is None:
                self._taken.append(run.id)
                self._leave_line(run)
            else:
                self._park(run, holder)
                passed.update(self._allowance.passed_by(run, holder))
        self._write()
        numbers = {limit: min(passed[limit], self._left(limit)) for limit in passed}
        return {limit: number for limit, number in numbers.items() if number > 0}

    def _has_room(self) -> bool:
        """Whether the queue as a whole lets another one run."""
        return self._allowance.room is None or self._allowance.room > 0

    def _has_place(self, run: Candidate) -> bool:
        number = len(self._claims) + len(self._taken)
        if number < self._wanted:
            return self._has_room()
        return number < self._most and self._has_room() and self._allowance.is_easy(run)

    def _leave(self, run: Candidate) -> None:
        """Leave *run* to other workers: in their sight, where its line has a slot for it."""
        line = run.line
        if line is None or run.waits_for_token:
            return
        if self._left(line) > 0 or line not in self._allowance.limits(run):
            self._let_go[line] += 1
            self._placings.append(let_go(run, self._now))

    def _left(self, line: Limit) -> int:
        """How many of a line may start, beside those who were let go for that."""
        return self._allowance.left(line) - self._let_go[line]

    def _park(self, run: Candidate, holder: Limit) -> None:
        self._holders.add(holder)
        if run.line == holder:
            return
        self._leave_line(run)
        if holder.kind == "rate":
            self._placings.append(Placing(run.id, str(holder), self._allowance.buckets[holder].queue_up()))
        else:
            self._placings.append(moved(run, holder, self._now))

    def _leave_line(self, run: Candidate) -> None:
        if run.waits_for_token and (line := run.line) in self._allowance.buckets:
            self._allowance.buckets[line].leave()

    def _prepare(self, runs: Iterable[Candidate]) -> None:
        """Let the allowance know the buckets and the order of the keys of *runs*."""
        if not (self._rules.rated or self._rules.ordered):
            return
        limits = {limit for run in runs for limit in self._allowance.limits(run)}
        self._load(limit for limit in limits if limit.kind == "rate")
        kept = [limit for limit in limits if self._rules.keeps_order(limit) and limit not in self._allowance.heads]
        self._allowance.heads.update(self._lines.heads(kept))

    def _load(self, limits: Iterable[Limit]) -> None:
        new = [limit for limit in limits if limit not in self._allowance.buckets]
        self._allowance.buckets.update(buckets.load(self._namespace, self._queue, self._rules, new, self._now))

    def _write(self) -> None:
        if self._taken:
            self._claims += self._engine.take(self._taken, worker=self._worker, lease_seconds=self._lease_seconds)
        self._lines.place(self._placings)
        self._taken, self._placings = [], []
