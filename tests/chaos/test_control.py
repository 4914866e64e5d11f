"""The control: workers that do not ask for the attempt number are found out, and ours are not."""

from __future__ import annotations

import signal

import pytest

from django_jobqueue.models import Run
from tests.acceptance.programs import end_leases, wait_until
from tests.chaos.harness import DROPPED, Trial

pytestmark = [pytest.mark.slow, pytest.mark.sqlite]


@pytest.mark.parametrize("fenced", [True, False], ids=["fenced", "unfenced"])
def test_control_the_checker_finds_out_workers_without_the_fence(trial: Trial, fenced: bool) -> None:
    settings = "tests.chaos.settings" if fenced else "tests.chaos.unfenced_settings"
    frozen = trial.start(settings=settings)
    trial.ledger.add("hold", {})
    [run_id] = trial.ledger.acknowledged
    trial.wait_for_start(run_id)
    frozen.freeze()
    end_leases(frozen.pid)
    trial.start(settings=settings)
    trial.wait_for_start(run_id, attempt=2)
    trial.open_gate(attempt=1)
    frozen.send(signal.SIGCONT)
    if fenced:
        frozen.wait_for_line(f"{DROPPED}: run {run_id} ")
    else:
        wait_until(lambda: Run.objects.get(pk=run_id).state == "completed", "the late result is taken")
    trial.open_gate(attempt=2)

    found = trial.finish()

    assert (found == []) is fenced
    assert fenced or any(what.startswith("C8") for what in found)
