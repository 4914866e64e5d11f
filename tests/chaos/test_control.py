"""The control: workers that do not ask for the attempt number are found out, and ours are not."""

from __future__ import annotations

import signal

import pytest

from tests.chaos.harness import Trial
from tests.chaos.settings import LEASE_SECONDS

pytestmark = [pytest.mark.slow, pytest.mark.sqlite]


@pytest.mark.parametrize("fenced", [True, False], ids=["fenced", "unfenced"])
def test_control_the_checker_finds_out_workers_without_the_fence(trial: Trial, fenced: bool) -> None:
    settings = "tests.chaos.settings" if fenced else "tests.chaos.unfenced_settings"
    frozen = trial.start(settings=settings)
    trial.ledger.add("work", {"seconds": 2 * LEASE_SECONDS})
    trial.effects.wait_for("start")
    frozen.send(signal.SIGSTOP)
    trial.start(settings=settings)
    trial.effects.wait_for("start", attempt=2)
    frozen.send(signal.SIGCONT)

    found = trial.finish()

    assert (found == []) is fenced
    assert fenced or any(what.startswith("C8") for what in found)
