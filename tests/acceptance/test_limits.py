"""Four worker processes race for limits, and what they write outside of the database shows whether the limits held."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TypeAlias

import pytest
from django.utils import timezone
from pytest_django import Settings

from django_jobqueue import operations, queues
from django_jobqueue.limiting.limiter import Limiter
from django_jobqueue.models import QueueState, Run
from tests.acceptance import limited_settings
from tests.acceptance.broken.apps import LEFT_OUT as LEFT_OUT_BY_WORKERS
from tests.acceptance.conftest import StartWorker
from tests.acceptance.limited_settings import MOST, OPERATED, STARTS
from tests.acceptance.programs import PATIENCE_SECONDS, Effect, Effects, WorkerProcess, end_leases, wait_until
from tests.acceptance.settings import VENDOR

pytestmark = pytest.mark.slow

RUNS = 20 if VENDOR == "mysql" else 40
"""Of each queue."""
KEYS = "abc"
LONG = 0.1
"""Seconds of a run that is to overlap with others, however slowly they come on a busy machine."""
LIMITED = {"DJANGO_SETTINGS_MODULE": "tests.acceptance.limited_settings"}
BROKEN = {"DJANGO_SETTINGS_MODULE": "tests.acceptance.broken.settings"}
QUEUES = list(limited_settings.JOBQUEUE["queues"])  # type: ignore[call-overload]
OTHERS = [name for name in QUEUES if name != "of_a_queue"]
WORKED = [OTHERS, OTHERS, ["of_a_queue"], ["of_a_queue", "operated"]]
"""What each worker works. Whoever works one queue that only counts, counts and claims in one round trip."""


@pytest.fixture
def project(settings: Settings, transactional_db: None) -> None:
    """Let the test be in the project with the limits."""
    settings.JOBQUEUE = limited_settings.JOBQUEUE


Groups: TypeAlias = dict[int, list[str]]
"""What counts together with each run. What stands before the slash says by which limit."""


def add(names: Sequence[str], seconds: float = LONG, count: int = RUNS, *, gated: bool = False) -> Groups:
    """Add runs to queues that take so many *seconds*; if *gated*, from when the gate is open."""
    groups: Groups = {}
    for name in names:
        keys = [KEYS[number % len(KEYS)] for number in range(count)]
        jobs = [["take_turn", "take_another"][number % 2 if name == "of_all" else 0] for number in range(count)]
        ids = queues[name].bulk_add(
            {"job": job, "payload": {"seconds": seconds, "gated": gated}, "concurrency_key": key, "priority": number}
            for number, (job, key) in enumerate(zip(jobs, keys, strict=True))
        )
        for run_id, job, key in zip(ids, jobs, keys, strict=True):
            assert run_id is not None
            match name:
                case "of_a_key" | "in_order":
                    groups[run_id] = [f"{name}/{key}"]
                case "of_all":
                    groups[run_id] = [name, f"{name}, its key/{key}"]
                    groups[run_id] += [f"{name}, its job/"] if job == "take_turn" else []
                case _:
                    groups[run_id] = [name]
    return groups


def most_at_once(effects: Sequence[Effect], groups: Groups) -> Counter[str]:
    """The most runs of each group that were between their start and their end at the same moment.

    The order of the lines is the order of writing. A process that is ``killed`` ends what it had started.
    """
    begun: dict[tuple[int, int], int] = {}
    most: Counter[str] = Counter()
    for effect in effects:
        match effect.word:
            case "start":
                begun[effect.run_id, effect.attempt] = effect.pid
                now = Counter(group for run_id, _ in begun for group in groups[run_id])
                for group in groups[effect.run_id]:
                    most[group] = max(most[group], now[group])
            case "end":
                del begun[effect.run_id, effect.attempt]
            case "killed":
                begun = {run: pid for run, pid in begun.items() if pid != effect.pid}
    return most


def out_of_order(effects: Sequence[Effect], groups: Groups) -> Iterator[tuple[int, int]]:
    """Pairs of runs of a key of which the later one has started before the earlier one."""
    latest: dict[str, int] = {}
    for effect in effects:
        if effect.word == "start" and (group := groups[effect.run_id][0]).startswith("in_order"):
            if effect.run_id < latest.get(group, 0):
                yield latest[group], effect.run_id
            latest[group] = effect.run_id


def against_orders(effects: Sequence[Effect], groups: Groups) -> Iterator[Effect]:
    """The starts of queue ``operated`` beyond what operators had set."""
    begun: set[int] = set()
    most = OPERATED
    for effect in effects:
        match effect.word:
            case "ordered":
                most = effect.attempt
            case "start" if groups[effect.run_id] == ["operated"]:
                begun.add(effect.run_id)
                if len(begun) > most:
                    yield effect
            case "end":
                begun.discard(effect.run_id)


def breaches(effects: Sequence[Effect], groups: Groups) -> set[str]:
    """The limits that did not hold."""
    most = most_at_once(effects, groups)
    broken = {limit for group in most if most[group] > MOST.get(limit := group.partition("/")[0], RUNS)}
    if any(out_of_order(effects, groups)):
        broken.add("in_order")
    if any(against_orders(effects, groups)):
        broken.add("operated")
    starts = Counter(groups[effect.run_id][0] for effect in effects if effect.word == "start")
    return broken | {name for name, number in STARTS.items() if starts[name] > number}


class Operator:
    """Changes how many runs of queue ``operated`` may be running, and writes down how many that are from then on.

    Before it lets more of them start; and after it lets fewer, when nobody can any more who claimed before.
    """

    def __init__(self, effects: Effects, groups: Groups) -> None:
        self.effects = effects
        self.groups = groups
        self.most = OPERATED
        self.keep_busy()

    def order(self, most: int, change: Callable[[], object]) -> None:
        if most > self.most:
            self.write(most)
        change()
        if most < self.most:
            wait_until(lambda: self.running() <= most, f"no more than {most} are running")
            self.write(most)
        self.most = most
        if most:
            seen = self.starts()
            wait_until(lambda: self.keep_busy() > seen + 1, "two more have started")

    def keep_busy(self) -> int:
        """See to it that there is always something to start, however late we are; return how many runs have started."""
        if Run.objects.filter(queue="operated", state="pending").count() < 5:
            self.groups |= add(["operated"], count=20)
        return self.starts()

    def write(self, most: int) -> None:
        with (self.effects.folder / "effects").open("a") as log:
            log.write(f"0 {most} 0 ordered {time.time():.6f}\n")

    def running(self) -> int:
        """How many are running when nobody is about to claim."""
        with Limiter().lock("operated"):
            return Run.objects.filter(queue="operated", state="running").count()

    def starts(self) -> int:
        return sum(self.groups.get(effect.run_id) == ["operated"] for effect in self.effects.all("start"))


def give_orders(operator: Operator) -> None:
    """Raise the limit, lower it, pause, resume, raise it for a moment, and leave it to the settings again."""

    def limit_to(number: int, until: datetime | None = None) -> Callable[[], object]:
        set_limit = partial(operations.set_limit, "operated", "concurrent_jobs", actor="ana")
        return partial(set_limit, number, until=until)

    operator.order(5, limit_to(5))
    operator.order(1, limit_to(1))
    operator.order(0, partial(operations.pause_queue, "operated", actor="ana"))
    operator.order(1, partial(operations.resume_queue, "operated", actor="ana"))
    operator.order(4, limit_to(4, until=timezone.now() + timedelta(hours=1)))
    operator.order(OPERATED, lambda: QueueState.objects.update(concurrent_jobs_until=timezone.now()))  # it is over
    operator.order(1, limit_to(1))
    operator.order(OPERATED, partial(operations.clear_limit, "operated", "concurrent_jobs", actor="ana"))


def kill(worker: WorkerProcess, effects: Effects) -> None:
    """Kill one of the workers, and write that down before others may start what it had claimed."""
    worker.send(signal.SIGKILL)
    worker.wait()
    with (effects.folder / "effects").open("a") as log:
        log.write(f"0 0 {worker.pid} killed {time.time():.6f}\n")
    end_leases(worker.pid)


@pytest.mark.also_on_mysql
def test_no_limit_is_exceeded_and_all_is_done_though_a_worker_is_killed(
    start_worker: StartWorker, effects: Effects
) -> None:
    workers = [start_worker("--concurrency=16", *worked, environment=LIMITED) for worked in WORKED]
    for worker in workers:
        worker.wait_until_ready()
    groups = add([name for name in QUEUES if name != "operated"], LONG / 4, gated=True)

    def at_work() -> list[WorkerProcess]:
        pids = {effect.pid for effect in effects.all("start")}
        return [worker for worker in workers if worker.pid in pids]

    def they_overlap() -> bool:
        """More than fit into two workers."""
        most = most_at_once(effects.all("start"), groups)
        return len(at_work()) > 2 and min(most["of_a_queue"], most["of_a_job"], most["of_all"]) > 1

    wait_until(they_overlap, "three of them work, and runs of each limit overlap")
    kill(random.choice(at_work()), effects)
    effects.open_gate()
    give_orders(Operator(effects, groups))

    wait_until(lambda: not Run.objects.live().exclude(blocked_on="rate:").exists(), "all that may start has ended")
    wait_until(lambda: Run.objects.filter(crashes=1).exists(), "a run of the killed worker, of any queue, is reaped")

    done = effects.all()
    assert breaches(done, groups) == set()
    assert not Run.objects.exclude(queue__in=STARTS).exclude(state="completed").exists()
    for name, number in STARTS.items():
        rated = Run.objects.filter(queue=name)
        assert sum(rated.values_list("attempt", flat=True)) == number
        assert set(rated.live().values_list("blocked_on", flat=True)) == {"rate:"}


LEFT_OUT = [
    # SQLite has one writer at a time anyway.
    pytest.param("lock", {"of_a_queue"}, marks=[pytest.mark.mysql, pytest.mark.postgresql]),
    ("running", {"of_a_queue", "of_a_job", "of_a_key"}),
    # That it is seen does not depend on the database.
    pytest.param("keep_order", {"in_order"}, marks=pytest.mark.sqlite),
]


@pytest.mark.also_on_mysql
@pytest.mark.parametrize(("left_out", "broken"), LEFT_OUT, ids=["lock", "count", "order"])
def test_workers_that_leave_out_what_limits_need_are_found_out(
    start_worker: StartWorker, effects: Effects, left_out: str, broken: set[str]
) -> None:
    groups = add(sorted(broken))
    for _ in WORKED if left_out == "lock" else WORKED[:2]:  # without the lock, two claims must meet by chance
        start_worker("--concurrency=8", *broken, environment=BROKEN | {LEFT_OUT_BY_WORKERS: left_out})

    def found_out() -> bool:
        if not Run.objects.live().exists():
            groups.update(add(sorted(broken)))
        return breaches(effects.all(), groups) == broken

    wait_until(found_out, "the breach is seen", seconds=5 * PATIENCE_SECONDS)  # some need a chance
