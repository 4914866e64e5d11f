"""Four worker processes race for limits, and what they write outside of the database shows whether the limits held."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import cycle

import pytest
from pytest_django import Settings

from django_jobqueue import queues
from django_jobqueue.models import Run
from tests.acceptance import limited_settings
from tests.acceptance.broken.apps import LEFT_OUT as LEFT_OUT_BY_WORKERS
from tests.acceptance.conftest import StartWorker
from tests.acceptance.limited_settings import MOST, STARTS
from tests.acceptance.programs import Effect, Effects, WorkerProcess, wait_until
from tests.acceptance.settings import VENDOR

pytestmark = pytest.mark.slow

RUNS = 20 if VENDOR == "mysql" else 40
"""Of each queue."""
KEYS = "abc"
LONG = 0.1
"""Seconds of a run that is to overlap with others, however slowly they come on a busy machine."""
LIMITED = {"DJANGO_SETTINGS_MODULE": "tests.acceptance.limited_settings"}
BROKEN = {"DJANGO_SETTINGS_MODULE": "tests.acceptance.broken.settings"}
QUEUES = [*MOST, "at_a_rate"]
WORKED = [QUEUES, QUEUES, ["of_a_queue"], ["of_a_queue"]]
"""What each worker works. Whoever works one queue that only counts, counts and claims in one round trip."""


@pytest.fixture
def project(settings: Settings, transactional_db: None) -> None:
    """Let the test be in the project with the limits."""
    settings.JOBQUEUE = limited_settings.JOBQUEUE


def add(names: Sequence[str] = QUEUES, seconds: float = 0.01) -> dict[int, str]:
    """Add runs to queues that take so many *seconds*; answer with what counts together with each of them: the queue, or one key of it."""
    groups: dict[int, str] = {}
    for name in names:
        keys = [KEYS[number % len(KEYS)] for number in range(RUNS)]
        turn = {"job": "take_turn", "payload": {"seconds": seconds}}
        items = (turn | {"concurrency_key": key, "priority": n} for n, key in enumerate(keys))
        ids = queues[name].bulk_add(items)
        keyed = name in {"of_a_key", "in_order"}
        groups |= {run_id: f"{name}/{key}" if keyed else name for run_id, key in zip(ids, keys, strict=True) if run_id}
    return groups


def most_at_once(effects: Sequence[Effect], groups: dict[int, str]) -> Counter[str]:
    """The most runs of each group that were between their start and their end at the same moment.

    The order of the lines is the order of writing. A process that is ``killed`` ends what it had started.
    """
    begun: dict[tuple[int, int], int] = {}
    most: Counter[str] = Counter()
    for effect in effects:
        match effect.word:
            case "start":
                begun[effect.run_id, effect.attempt] = effect.pid
                group = groups[effect.run_id]
                most[group] = max(most[group], sum(groups[run_id] == group for run_id, _ in begun))
            case "end":
                del begun[effect.run_id, effect.attempt]
            case "killed":
                begun = {run: pid for run, pid in begun.items() if pid != effect.pid}
    return most


def out_of_order(effects: Sequence[Effect], groups: dict[int, str]) -> Iterator[tuple[int, int]]:
    """Pairs of runs of a key of which the later one has started before the earlier one."""
    latest: dict[str, int] = {}
    for effect in effects:
        if effect.word == "start" and (group := groups[effect.run_id]).startswith("in_order"):
            if effect.run_id < latest.get(group, 0):
                yield latest[group], effect.run_id
            latest[group] = effect.run_id


def breaches(effects: Sequence[Effect], groups: dict[int, str]) -> set[str]:
    """The queues whose limit did not hold."""
    most = most_at_once(effects, groups)
    broken = {group.partition("/")[0] for group in most if most[group] > MOST.get(group.partition("/")[0], RUNS)}
    if any(out_of_order(effects, groups)):
        broken.add("in_order")
    if Counter(groups[effect.run_id] for effect in effects if effect.word == "start")["at_a_rate"] > STARTS:
        broken.add("at_a_rate")
    return broken


def kill_one_at_work(workers: Sequence[WorkerProcess], effects: Effects) -> None:
    """Kill one of the workers while it has a run between its start and its end, and write that down."""
    for worker in cycle(workers):
        worker.send(signal.SIGSTOP)
        told = Counter(effect.word for effect in effects.all() if effect.pid == worker.pid)
        if told["start"] > told["end"]:
            worker.send(signal.SIGKILL)
            worker.process.wait()
            with (effects.folder / "effects").open("a") as log:
                log.write(f"0 0 {worker.pid} killed {time.time():.6f}\n")
            return
        worker.send(signal.SIGCONT)


@pytest.mark.also_on_mysql
def test_no_limit_is_exceeded_and_all_is_done_though_a_worker_is_killed(
    start_worker: StartWorker, effects: Effects
) -> None:
    workers = [start_worker("--concurrency=8", *worked, environment=LIMITED) for worked in WORKED]
    for worker in workers:
        worker.wait_until_ready()
    groups = add()
    effects.wait_for("end", 20)
    kill_one_at_work(workers, effects)

    wait_until(lambda: not Run.objects.live().exclude(queue="at_a_rate").exists(), "all that may start has ended")
    wait_until(lambda: Run.objects.filter(crashes=1).exists(), "a run of the killed worker, of any queue, is reaped")

    done = effects.all()
    most = most_at_once(done, groups)
    assert breaches(done, groups) == set()
    assert most["of_a_queue"] > 1
    assert most["of_a_job"] > 1
    of_a_queue = {effect.pid for effect in done if effect.word == "start" and groups[effect.run_id] == "of_a_queue"}
    assert of_a_queue & {worker.pid for worker in workers[2:]}
    assert len({effect.pid for effect in done if effect.word == "start"}) > 2
    assert Run.objects.exclude(queue="at_a_rate").exclude(state="completed").count() == 0
    rated = Run.objects.filter(queue="at_a_rate")
    assert sum(rated.values_list("attempt", flat=True)) == STARTS
    assert set(rated.filter(state="pending", attempt=0).values_list("blocked_on", flat=True)) == {"rate:"}


LEFT_OUT = [
    # SQLite has one writer at a time anyway.
    pytest.param("lock", {"of_a_queue"}, marks=[pytest.mark.mysql, pytest.mark.postgresql]),
    pytest.param("running", {"of_a_queue", "of_a_job", "of_a_key"}, marks=pytest.mark.also_on_mysql),
    ("keep_order", {"in_order"}),
]


@pytest.mark.parametrize(("left_out", "broken"), LEFT_OUT, ids=["lock", "count", "order"])
def test_workers_that_leave_out_what_limits_need_are_found_out(
    start_worker: StartWorker, effects: Effects, left_out: str, broken: set[str]
) -> None:
    groups = add(sorted(broken), LONG)
    for _ in WORKED:
        start_worker("--concurrency=8", *broken, environment=BROKEN | {LEFT_OUT_BY_WORKERS: left_out})

    def found_out() -> bool:
        if not Run.objects.live().exists():
            groups.update(add(sorted(broken), LONG))
        return breaches(effects.all(), groups) == broken

    wait_until(found_out, "the breach is seen")
