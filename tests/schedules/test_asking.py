"""What the project's own functions have to say about a run is asked while nothing waits for them."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from threading import Event, Semaphore
from typing import Any

import pytest

from django_jobqueue import job, queues, schedule
from django_jobqueue.models import Run, Schedule, Skip
from django_jobqueue.operations import schedule_create, schedule_edit
from django_jobqueue.operations.schedule_sync import sync_schedules
from django_jobqueue.scheduler import Scheduler
from django_jobqueue.worker import asker
from django_jobqueue.worker.asker import THREADS, Asker
from tests.schedules.conftest import Fired, MakeSchedule, at, send
from tests.worker.bench import PATIENCE_SECONDS, Recorder
from tests.worker.conftest import StartWorker, observer, start_worker

__all__ = ["observer", "start_worker"]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not hang is answered in the tick in which it is asked, however busy the machine."""
    monkeypatch.setattr(asker, "PATIENCE_SECONDS", PATIENCE_SECONDS)


class Hanging:
    """A function of the project that does not return before it is let go. Till then nobody waits for it for long."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(asker, "PATIENCE_SECONDS", 0.01)
        self._monkeypatch = monkeypatch
        self._called = Semaphore(0)
        self._let_go = Event()

    def __call__(self, fires_at: datetime) -> Mapping[str, Any]:
        self._called.release()
        self._let_go.wait(PATIENCE_SECONDS)
        return {"to": f"{fires_at:%H:%M}"}

    def wait_until_called(self, times: int = 1) -> None:
        for _ in range(times):
            assert self._called.acquire(timeout=PATIENCE_SECONDS), "it was not called"

    def let_go(self) -> None:
        self._monkeypatch.setattr(asker, "PATIENCE_SECONDS", PATIENCE_SECONDS)
        self._let_go.set()


@pytest.fixture
def hanging(patience: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hanging]:
    """It is let go at the latest when the test ends, and its thread may end."""
    hanging = Hanging(monkeypatch)
    yield hanging
    hanging.let_go()
    for thread in threading.enumerate():
        if thread.name == "jobqueue-asker":
            thread.join(PATIENCE_SECONDS)


def declare(function: Callable[[datetime], object], *names: str, **options: Any) -> None:
    """Declare hourly schedules whose payload the function makes."""
    payload = {"payload": lambda fires_at: function(fires_at)}
    several = [schedule("0 * * * *", name=name, **payload, **options) for name in names]
    job(queue="mail", name="post", schedule=several)(send)
    sync_schedules()
    Schedule.objects.filter(name__in=names).update(next_run_at=at("12:00"))


def let_go(hanging: Hanging, caller: Asker) -> None:
    """Let it go, and wait until its answers are there."""
    hanging.let_go()
    for answer in caller._unanswered():
        answer.exception(PATIENCE_SECONDS)


def test_what_is_answered_quickly_fires_in_the_same_tick(make_schedule: MakeSchedule, fired: Fired) -> None:
    declare(lambda fires_at: {"to": "ann"}, "made")
    make_schedule("11:30", cron="0 * * * *")

    assert Scheduler(Asker()).tick(at("12:00")).fired == 2
    assert (fired("made"), fired()) == (["12:00"], ["12:00"])


def test_a_schedule_whose_function_hangs_waits_and_the_others_do_not(
    make_schedule: MakeSchedule, fired: Fired, hanging: Hanging
) -> None:
    declare(hanging, "hangs")
    make_schedule("11:30", cron="0 * * * *")
    caller = Asker()
    scheduler = Scheduler(caller)

    assert scheduler.tick(at("12:00")).fired == 1
    assert scheduler.tick(at("13:00")).fired == 1
    assert (fired("hangs"), fired()) == ([], ["12:00", "13:00"])
    assert len(caller._unanswered()) == 1  # it is not asked again and again

    let_go(hanging, caller)
    assert scheduler.tick(at("13:00:01")).fired == 2
    assert fired("hangs") == ["12:00", "13:00"]  # what was on time when it was asked, and what is now
    assert not Skip.objects.exists()


def test_what_was_answered_about_another_due_time_is_not_used(fired: Fired, hanging: Hanging) -> None:
    declare(hanging, "hangs")
    caller = Asker()
    scheduler = Scheduler(caller)
    scheduler.tick(at("12:00"))
    schedule_edit("hangs", cron="30 * * * *", actor="ann")
    Schedule.objects.update(next_run_at=at("12:30"))

    let_go(hanging, caller)
    scheduler.tick(at("12:30"))

    assert fired("hangs") == ["12:30"]
    assert Run.objects.get().payload == {"to": "12:30"}


def test_what_was_answered_about_another_payload_is_not_used(make_schedule: MakeSchedule, hanging: Hanging) -> None:
    preflight = {"on_before_add": lambda new: bool(hanging(at("12:00")))}
    job(queue="mail", name="post", preflight=preflight)(send)
    make_schedule("11:30", job="post", cron="0 * * * *", payload={"to": "ann"})
    caller = Asker()
    scheduler = Scheduler(caller)
    scheduler.tick(at("12:00"))
    schedule_edit("letters", payload={"to": "bob"}, actor="ann")

    let_go(hanging, caller)
    scheduler.tick(at("12:00"))

    assert Run.objects.get().payload == {"to": "bob"}


def test_a_due_time_that_another_worker_has_fired_meanwhile_is_not_fired_again(fired: Fired, hanging: Hanging) -> None:
    declare(hanging, "hangs")
    late, quick = Asker(), Asker()
    scheduler = Scheduler(late)
    scheduler.tick(at("12:00"))
    let_go(hanging, late)
    Scheduler(quick).tick(at("12:00"))

    scheduler.tick(at("12:00:05"))
    scheduler.tick(at("13:00"))

    assert fired("hangs") == ["12:00", "13:00"]


def test_functions_that_hang_in_all_threads_hold_up_only_other_functions(
    make_schedule: MakeSchedule, fired: Fired, hanging: Hanging
) -> None:
    names = [f"hangs-{number}" for number in range(THREADS + 2)]
    declare(hanging, *names)
    make_schedule("11:30", cron="0 * * * *")
    caller = Asker()
    scheduler = Scheduler(caller)

    assert scheduler.tick(at("12:00")).fired == 1
    hanging.wait_until_called(THREADS)
    assert len(caller._waiting) == 2

    let_go(hanging, caller)
    assert scheduler.tick(at("12:00:05")).fired == THREADS + 2
    assert [fired(name) for name in names] == [["12:00"]] * (THREADS + 2)


def test_a_function_that_wants_to_end_the_process_is_refused() -> None:
    declare(lambda fires_at: sys.exit(3), "exits")

    Scheduler(Asker()).tick(at("12:00"))

    assert Skip.objects.get().error == "RuntimeError: SystemExit(3)"


def test_a_question_to_the_job_may_hang_too(make_schedule: MakeSchedule, hanging: Hanging) -> None:
    preflight = {"on_before_add": lambda new: bool(hanging(at("12:00")))}
    job(queue="mail", name="post", preflight=preflight)(send)
    make_schedule("11:30", job="post", cron="0 * * * *")

    assert Scheduler(Asker()).tick(at("12:00")).fired == 0


def test_answers_that_nobody_will_use_are_forgotten(make_schedule: MakeSchedule, hanging: Hanging) -> None:
    declare(hanging, "hangs")
    caller = Asker()
    scheduler = Scheduler(caller)
    scheduler.tick(at("12:00"))
    let_go(hanging, caller)
    Schedule.objects.all().delete()
    make_schedule("11:30", cron="0 * * * *")

    scheduler.tick(at("11:45"))

    assert scheduler._questions._asked == {}


def test_a_function_that_hangs_stalls_no_worker_and_is_named(
    start_worker: StartWorker,
    observer: Recorder,
    hanging: Hanging,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asker, "HANGING_SECONDS", 0.1)
    declare(hanging, "hangs", ends_at=at("12:00"))
    schedule_create("sound", queue="mail", job="post", every_seconds=1, actor="ann")

    with caplog.at_level(logging.ERROR), start_worker("mail") as one, start_worker("mail") as other:
        hanging.wait_until_called()
        for worker in (one, other):
            worker.chores.wait_for_turns(2)  # of the reaper
        observer.wait_until_settled(queues.mail.add("post"))
        observer.wait_for(lambda: len(settled_of("sound")) >= 2)
        observer.wait_for(lambda: "Schedule 'hangs' makes no run: a function of the project" in caplog.text)
        assert settled_of("hangs") == []
        hanging.let_go()
        observer.wait_for(lambda: settled_of("hangs"))

    assert Run.objects.filter(schedule__name="hangs").count() == 1


def settled_of(name: str) -> list[Run]:
    return list(Run.objects.filter(schedule__name=name, state="completed"))
