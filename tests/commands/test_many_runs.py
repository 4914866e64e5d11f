"""``canceljobs`` and ``replayjobs``."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from django_jobqueue.management import progress
from django_jobqueue.management.command import operator
from django_jobqueue.models import Activity, Run
from django_jobqueue.operations import batches
from django_jobqueue.queue import Queue
from tests.admin.conftest import MakeRun
from tests.commands.conftest import Terminal, command

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def queue(mail: Queue) -> None:
    """There is a job mail.send."""


def states() -> dict[int, str]:
    return dict(Run.objects.values_list("pk", "state"))


def counted(*arguments: str) -> dict[str, Any]:
    counts: dict[str, Any] = json.loads(command(*arguments, "--format=json").out)
    return counts


def dead(make_run: MakeRun, **columns: Any) -> Run:
    return make_run("dead_lettered", **{"reason": "max_attempts", "payload": {"to": "ann"}, **columns})


def test_runs_are_cancelled_by_their_ids(make_run: MakeRun) -> None:
    pending, running, ended, other = make_run(), make_run("running"), make_run("completed"), make_run()

    told = command("canceljobs", str(pending.pk), str(running.pk), str(ended.pk), "--reason", "enough")

    assert states() == {pending.pk: "cancelled", running.pk: "running", ended.pk: "completed", other.pk: "pending"}
    running.refresh_from_db()
    assert running.cancel_requested_at is not None
    assert told.out == "1 cancelled, 1 running and asked to cancel.\n"
    activity = Activity.objects.get()
    assert (activity.operation, activity.actor, activity.reason) == ("jobs.cancel_many", operator(), "enough")


def test_runs_that_were_asked_to_cancel_can_be_cancelled_by_force(make_run: MakeRun) -> None:
    running = make_run("running")
    command("canceljobs", str(running.pk))

    assert counted("canceljobs", str(running.pk))["asked"] == 0
    assert counted("canceljobs", str(running.pk), "--force", "--dry-run")["asked"] == 1
    assert counted("canceljobs", str(running.pk), "--force")["asked"] == 1
    assert counted("canceljobs", str(running.pk), "--force")["asked"] == 0

    running.refresh_from_db()
    assert running.cancel_forced
    assert Activity.objects.latest("pk").detail["force"] is True


def test_runs_are_cancelled_by_a_filter_which_names_no_ended_ones(make_run: MakeRun) -> None:
    first, second = make_run(), make_run()
    make_run("failed", reason="job_failed")
    other = make_run(queue="reports")

    counts = counted("canceljobs", "--queue=mail")

    assert counts == {"cancelled": 2, "asked": 0, "more": False, "dry_run": False}
    assert states()[first.pk] == states()[second.pk] == "cancelled"
    assert states()[other.pk] == "pending"


def test_runs_are_replayed_once_by_their_ids(make_run: MakeRun) -> None:
    run = dead(make_run)

    first = command("replayjobs", str(run.pk), "--reason", "mended")
    second = command("replayjobs", str(run.pk))

    replayed = Run.objects.get(replay_of=run.pk)
    assert (replayed.state, replayed.payload) == ("pending", {"to": "ann"})
    assert first.out == "1 replayed.\n"
    assert second.out == "0 replayed.\n"
    assert Activity.objects.get().reason == "mended"


def test_a_filter_replays_only_what_ended_badly_unless_it_says_otherwise(make_run: MakeRun) -> None:
    bad = {dead(make_run).pk, make_run("failed", reason="job_failed", payload={"to": "ann"}).pk}
    completed = make_run("completed", payload={"to": "ann"})
    make_run()

    counts = counted("replayjobs", "--queue=mail")

    assert counts["replayed"] == 2
    assert set(Run.objects.exclude(replay_of=None).values_list("replay_of_id", flat=True)) == bad
    assert counted("replayjobs", "--queue=mail", "--state=completed")["replayed"] == 1
    assert Run.objects.filter(replay_of=completed.pk).exists()


def test_filters_narrow_down_what_is_done(make_run: MakeRun) -> None:
    hours = [timezone.now() - timedelta(hours=n) for n in range(4)]
    runs = [dead(make_run, finished_at=hour, error="SMTPError: 451" if n else "x") for n, hour in enumerate(hours)]

    counted("replayjobs", "--since=150m", "--error=smtp", "--end-reason=max_attempts")

    assert set(Run.objects.exclude(replay_of=None).values_list("replay_of_id", flat=True)) == {runs[1].pk, runs[2].pk}


def test_an_ended_run_that_is_named_by_its_id_is_replayed_however_it_ended(make_run: MakeRun) -> None:
    runs = [make_run(state, payload={"to": "ann"}) for state in ("completed", "cancelled", "failed", "pending")]

    assert counted("replayjobs", *(str(run.pk) for run in runs))["replayed"] == 3


@pytest.mark.parametrize(
    ("verb", "told"),
    [
        ("canceljobs", "Would be: 1 cancelled, 0 running and asked to cancel.\n"),
        ("replayjobs", "Would be: 1 replayed.\n"),
    ],
)
def test_a_dry_run_counts_and_changes_nothing(verb: str, told: str, make_run: MakeRun) -> None:
    make_run()
    dead(make_run)
    before = states()

    assert counted(verb, "--queue=mail", "--dry-run")["dry_run"] is True
    assert command(verb, "--queue=mail", "--dry-run").out == told
    assert states() == before
    assert not Activity.objects.exists()


def test_a_limit_takes_the_oldest_and_says_that_there_may_be_more(make_run: MakeRun) -> None:
    first, second, third = make_run(), make_run(), make_run()

    told = command("canceljobs", "--queue=mail", "--limit=2")

    assert states() == {first.pk: "cancelled", second.pk: "cancelled", third.pk: "pending"}
    assert told.err == "There may be more: it stopped at the limit.\n"
    assert command("canceljobs", "--queue=mail", "-v", "0") == ("", "")


@pytest.mark.parametrize(
    ("verb", "told"),
    [
        ("canceljobs", "Left as they are: 1, which have ended, or were asked to cancel before.\n"),
        ("replayjobs", "Left as they are: 1, which have not ended, or were replayed before.\n"),
    ],
)
def test_it_is_told_of_how_many_that_were_named_it_could_not_be_done(verb: str, told: str, make_run: MakeRun) -> None:
    ids = [str(make_run().pk), str(dead(make_run).pk)]

    assert command(verb, *ids, "--dry-run").err == told
    assert command(verb, *ids).err == told
    assert command(verb, *ids, "--limit=1", "-v", "0") == ("", "")


@pytest.mark.parametrize("verb", ["canceljobs", "showjobs"])
def test_nothing_has_ended_since_a_moment_that_is_to_come(verb: str) -> None:
    with pytest.raises(CommandError, match=r"--since: must not be in the future, got '2999-01-01T00:00'\.$"):
        command(verb, "--since=2999-01-01T00:00")


def test_no_match_is_no_error(make_run: MakeRun) -> None:
    assert counted("canceljobs", "--state=pending")["cancelled"] == 0


@pytest.mark.parametrize("verb", ["canceljobs", "replayjobs"])
@pytest.mark.parametrize("wrong", ["0", "abc", str(2**63), "9" * 5000, "1.5", "999999999"])
def test_an_id_of_no_run_refuses_all(verb: str, wrong: str, make_run: MakeRun) -> None:
    pending, ended = make_run(), dead(make_run)

    with pytest.raises(CommandError, match=r"There is no run '.*Nothing was changed\.") as caught:
        command(verb, str(pending.pk), str(ended.pk), wrong)

    assert caught.value.returncode == 1
    assert states() == {pending.pk: "pending", ended.pk: "dead_lettered"}


def test_what_is_refused_is_told_and_hinders_no_other(make_run: MakeRun) -> None:
    unknown, good = dead(make_run, job="gone\x1b[2J"), dead(make_run)

    with pytest.raises(CommandError) as caught:
        command("replayjobs", str(unknown.pk), str(good.pk))

    assert str(caught.value).startswith("1 were refused. ")
    assert str(unknown.pk) in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert Run.objects.filter(replay_of=good.pk).exists()


@pytest.mark.parametrize("verb", ["canceljobs", "replayjobs"])
@pytest.mark.parametrize("arguments", [[], ["1", "--queue=mail"]])
def test_runs_are_named_in_one_way(verb: str, arguments: list[str]) -> None:
    with pytest.raises(CommandError, match="Give either the ids of runs, or options that select runs"):
        command(verb, *arguments)


@pytest.mark.parametrize("typed", ["y\n", "Yes\n"])
def test_a_person_is_asked_before_a_filter_does_anything(
    typed: str, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run()
    monkeypatch.setattr("sys.stdin", Terminal(typed))

    told = command("canceljobs", "--queue=mail")

    assert told.err == "Cancel 1 run? [y/N] "
    assert states() == {run.pk: "cancelled"}


@pytest.mark.parametrize("typed", ["n\n", "\n", "", "maybe\n"])
def test_any_other_answer_changes_nothing(typed: str, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run()
    monkeypatch.setattr("sys.stdin", Terminal(typed))

    with pytest.raises(CommandError, match=r"^Nothing was changed\.$"):
        command("canceljobs", "--queue=mail")

    assert states() == {run.pk: "pending"}


def test_nobody_is_asked_who_does_not_want_to_be(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run()
    monkeypatch.setattr("sys.stdin", Terminal(""))

    command("canceljobs", "--queue=mail", "--no-input")

    assert states() == {run.pk: "cancelled"}


@pytest.mark.parametrize("verb", ["canceljobs", "replayjobs"])
def test_a_program_gets_csv(verb: str, make_run: MakeRun) -> None:
    make_run() if verb == "canceljobs" else dead(make_run)

    told = command(verb, "--queue=mail", "--format=csv")

    assert (
        told.lines
        == {
            "canceljobs": ["cancelled,asked,more,dry_run", "1,0,False,False"],
            "replayjobs": ["replayed,refused,refusals,more,dry_run", "1,0,[],False,False"],
        }[verb]
    )


# --- Progress ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each batch is one run, and takes long."""
    monkeypatch.setattr(batches, "BATCH", 1)
    monkeypatch.setattr(progress, "EVERY_SECONDS", 0)


@pytest.mark.usefixtures("slow")
def test_a_person_at_a_terminal_sees_how_far_it_has_come_on_one_line(make_run: MakeRun) -> None:
    for _ in range(2):
        make_run()
    out, err = io.StringIO(), Terminal()

    call_command("canceljobs", "--queue=mail", stdout=out, stderr=err)

    lines = [f"So far: {number} cancelled, 0 running and asked to cancel." for number in (1, 2)]
    assert err.getvalue() == "".join(f"\r{line}" for line in lines) + f"\r{' ' * len(lines[1])}\r"
    assert out.getvalue() == "2 cancelled, 0 running and asked to cancel.\n"


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize(
    ("verbosity", "told"), [("0", ""), ("1", ""), ("2", "So far: 1 replayed.\nSo far: 2 replayed.\n")]
)
def test_elsewhere_progress_is_told_to_who_asks_for_it(verbosity: str, told: str, make_run: MakeRun) -> None:
    for _ in range(2):
        dead(make_run)

    assert command("replayjobs", "--queue=mail", "-v", verbosity).err == told


@pytest.mark.usefixtures("slow")
def test_who_wants_silence_gets_it_on_a_terminal_too(make_run: MakeRun) -> None:
    make_run()
    err = Terminal()

    call_command("canceljobs", "--queue=mail", "-v", "0", stderr=err, stdout=io.StringIO())

    assert err.getvalue() == ""


def test_what_is_done_in_a_moment_shows_no_progress(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "EVERY_SECONDS", 3600)  # a moment, to a busy machine
    make_run()
    err = Terminal()

    call_command("canceljobs", "--queue=mail", stderr=err, stdout=io.StringIO())

    assert err.getvalue() == ""
