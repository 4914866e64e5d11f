"""What limits cost: the work of runs that do nothing, with limits and without.

Each round works as many runs without a limit, under a limit of the queue that never binds, and of 500 keys of which one
run each may be running; by one worker process, and by four. Then it claims from a queue with and without a hot key of
very many parked runs. Rounds are interleaved, and the medians compared.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections import defaultdict
from collections.abc import Iterator, Mapping
from statistics import median
from time import perf_counter

from django.db import connection, transaction

from benchmarks.drain import check, drain_with_worker, empty
from benchmarks.processes import drain_with_processes
from benchmarks.tables import Row, at_least, at_most, print_table
from django_jobqueue import queues
from django_jobqueue.engines import engine_for
from django_jobqueue.engines.base import Claim, Settlement
from django_jobqueue.limiting.limiter import Limiter
from django_jobqueue.limiting.turn import Freed
from django_jobqueue.limits import Limit
from django_jobqueue.models import Run
from django_jobqueue.states import Outcome, Reason, State
from tests.many import multiply

KEYS = 500
NAMES = {
    "default": "no limit",
    "limited": "a limit of the queue that never binds",
    "keyed": f"{KEYS} keys of which one run each may be running",
}
"""The queues."""
GOALS = {("limited", 1): 0.85, ("limited", 4): 0.7, ("keyed", 1): 0.5}
"""The least part of the throughput without a limit, by queue and processes."""

CLAIMED = 10
MOST_TIMES = 1.5
"""The most that a claim may take with the hot key, in times of one without."""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, nargs="*", default=[1, 4])
    parser.add_argument("--claims", type=int, default=100)
    parser.add_argument("--parked", type=int, default=100_000)


def measure(options: Namespace) -> None:
    """Print the medians of all rounds, beside the goals."""
    runs: int = options.runs
    seconds: dict[tuple[str, int], list[float]] = defaultdict(list)
    for _ in range(options.rounds):
        for processes in options.processes:
            for queue in ("default", "limited", "keyed"):
                fill(queue, runs)
                seconds[queue, processes].append(drain(queue, processes))
                check(queue, runs)
    print_table(
        f"{connection.display_name}: {runs:,} runs, median of {options.rounds} rounds",
        list(throughput_rows(runs, {place: median(taken) for place, taken in seconds.items()})),
    )
    without, with_hot_key = claim_seconds(options.claims, 0), claim_seconds(options.claims, options.parked)
    times = with_hot_key / without
    print_table(
        f"{connection.display_name}: claims of {CLAIMED} from a queue of many keys, median of {options.claims}",
        [
            Row("without a hot key", f"{without * 1000:.2f} ms", "1.00"),
            Row(
                f"beside {options.parked:,} parked runs of one",
                f"{with_hot_key * 1000:.2f} ms",
                f"{times:.2f}",
                at_most(MOST_TIMES, times),
            ),
        ],
    )


def throughput_rows(runs: int, seconds: Mapping[tuple[str, int], float]) -> Iterator[Row]:
    """How many runs are worked per second, as a part of what is worked without a limit by as many processes."""
    for (queue, processes), taken in seconds.items():
        part = seconds["default", processes] / taken
        goal = GOALS.get((queue, processes))
        yield Row(
            f"{NAMES[queue]}, {processes} {'process' if processes == 1 else 'processes'}",
            f"{runs / taken:,.0f}/s",
            f"{part:.2f}",
            "" if goal is None else at_least(goal, part),
        )


def fill(queue: str, runs: int) -> None:
    """Leave nothing in the tables but so many due runs, of as many keys as there are."""
    empty()
    queues[queue].bulk_add(
        {"job": "noop", "payload": {"number": number}, "concurrency_key": str(number % KEYS)} for number in range(runs)
    )


def drain(queue: str, processes: int) -> float:
    """Work all due runs in so many processes; the seconds that it took."""
    if processes > 1:
        return drain_with_processes(queue, processes)
    begun = perf_counter()
    drain_with_worker(queue)
    return perf_counter() - begun


def claim_seconds(claims: int, parked: int) -> float:
    """The median time of so many trades with a queue of many keys, beside so many parked runs of one key."""
    fill("keyed", claims * CLAIMED)
    trader = Trader()
    if parked:
        park("hot", parked)
        trader.trade(CLAIMED)
    return median(trader.trade(CLAIMED) for _ in range(claims))


def park(key: str, number: int) -> None:
    """Let one run of *key* be running for long, and park so many others."""
    queues.keyed.add("noop", {"number": 0}, concurrency_key=key, priority=1)
    Trader().trade(1)
    waiting = queues.keyed.add("noop", {"number": 0}, concurrency_key=key)
    assert waiting is not None  # noqa: S101 - there is no preflight
    Run.objects.filter(pk=waiting.pk).update(blocked_on=str(Limit("key", "", key)))
    multiply(waiting.pk, number - 1)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


class Trader:
    """Claims, and completes at the next claim what it had claimed, as a worker does."""

    def __init__(self) -> None:
        self._engine = engine_for(connection.alias)
        self._limiter = Limiter()
        self._held: list[Claim] = []

    def trade(self, limit: int) -> float:
        """Do it for so many; the seconds that it took."""
        begun = perf_counter()
        ends = [
            Settlement(claim.ref, outcome=Outcome.COMPLETED, state=State.COMPLETED, reason=Reason.RETURNED)
            for claim in self._held
        ]
        with transaction.atomic():
            states = self._engine.settle(ends)
            with self._limiter.turn(["keyed"]) as turn:
                turn.free(
                    Freed("keyed", claim.job, claim.concurrency_key, states[claim.ref])
                    for claim in self._held
                    if claim.ref in states
                )
                self._held = turn.claim("keyed", worker="trader", limit=limit, lease_seconds=3600).claims
        return perf_counter() - begun
