"""What the admin can do to many runs at once, and how it tells what came of it: of each that was selected, if so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_jobqueue import operations
from django_jobqueue.admin.told import Told
from django_jobqueue.models import Run
from django_jobqueue.operations import CancelledMany, ReplayedMany, RunFilter
from django_jobqueue.states import FINAL_STATES


def replay(which: RunFilter, selected: Sequence[Run] | None, **how: Any) -> Iterator[Told]:
    """Replay runs: those that are *selected*, whatever their ends; or all that match and ended badly."""
    if selected is not None:
        which = replace(which, states=tuple(sorted(FINAL_STATES)))
    done = operations.replay_many(which, **how)
    yield from _number(done.replayed, ngettext("%d run was replayed.", "%d runs were replayed.", done.replayed))
    refused = ngettext("%d run was not replayed:", "%d runs were not replayed:", done.refused)
    yield from _number(done.refused, refused, done=False)
    yield from (Told(False, refusal) for refusal in done.refusals)
    if selected is None:
        yield from _rest(done, done.replayed + done.refused)
        return
    live = sum(run.state not in FINAL_STATES for run in selected)
    before = len(selected) - live - done.replayed - done.refused
    yield from _number(live, ngettext("%d run has not ended yet.", "%d runs have not ended yet.", live), done=False)
    told = ngettext("%d run was replayed before.", "%d runs were replayed before.", before)
    yield from _number(before, told, done=False)


def cancel(which: RunFilter, selected: Sequence[Run] | None, **how: Any) -> Iterator[Told]:
    """Cancel runs: those that are *selected*, or all that match."""
    done = operations.cancel_many(which, **how)
    yield from _number(done.cancelled, ngettext("%d run was cancelled.", "%d runs were cancelled.", done.cancelled))
    asked = ngettext(
        "%d run is running: it was asked to cancel. It may still run to its end, but is not retried.",
        "%d runs are running: they were asked to cancel. They may still run to their ends, but are not retried.",
        done.asked,
    )
    yield from _number(done.asked, asked)
    if selected is None:
        yield from _rest(done, done.cancelled + done.asked)
        return
    before = sum(run.state not in FINAL_STATES and run.cancel_requested_at is not None for run in selected)
    told = ngettext("%d run was asked to cancel before.", "%d runs were asked to cancel before.", before)
    yield from _number(before, told, done=False)
    ended = len(selected) - before - done.cancelled - done.asked
    told = ngettext("%d run has ended already.", "%d runs have ended already.", ended)
    yield from _number(ended, told, done=False)


def number_to_replay(which: RunFilter, **how: Any) -> int:
    return operations.replay_many(which, dry_run=True, **how).replayed


def number_to_cancel(which: RunFilter, **how: Any) -> int:
    counted = operations.cancel_many(which, dry_run=True, **how)
    return counted.cancelled + counted.asked


def _number(number: int, sentence: str, *, done: bool = True) -> Iterator[Told]:
    """The *sentence*, if there are any of which to tell it."""
    if number > 0:
        yield Told(done, sentence % number)


def _rest(done: CancelledMany | ReplayedMany, number: int) -> Iterator[Told]:
    """What is to be told of those that match, and were not among the *number* that it came to."""
    if done.more:
        yield Told(False, _("There may be more: this is as many as one request changes. Do it again to continue."))
    elif not number:
        yield Told(False, _("This cannot be done to any of these runs. Nothing was changed."))
