"""What the admin can do to runs: each verb has its own permission, and tells what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobqueue import operations
from django_jobqueue.admin import bulk
from django_jobqueue.admin.told import Told
from django_jobqueue.errors import JobQueueError
from django_jobqueue.states import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """One thing to do to runs."""

    name: str
    permission: str
    button: str | Promise
    title: str | Promise
    """For a number of runs."""
    title_of_one: str | Promise
    """For the id of a run."""
    effect: str | Promise
    """What it will do, for the page that asks to confirm it."""
    act: Callable[..., Told]
    """Called with an id, ``actor``, ``reason``, and ``site``, the name of the admin site."""
    act_on_many: Callable[..., Iterable[Told]]
    """Called with a RunFilter, the runs if they were selected one by one, ``actor``, ``reason``, and ``limit``."""
    number: Callable[..., int]
    """How many runs of a RunFilter it would change; called with ``actor`` and ``limit`` too."""


def _replay(run_id: int, *, actor: str, reason: str, site: str) -> Told:
    try:
        new = operations.replay(run_id, actor=actor, reason=reason)
    except JobQueueError as error:
        return _refused(run_id, _("Run {} was not replayed: {}"), error, site)
    text = _("Run {} was replayed as run {}.") if new.added else _("Run {} was replayed before, as run {}.")
    return Told(new.added, format_html(text, _link(run_id, site), _link(new.pk, site)), new.pk)


def _cancel(run_id: int, *, actor: str, reason: str, site: str, force: bool = False) -> Told:
    try:
        done = operations.cancel(run_id, actor=actor, reason=reason, force=force)
    except JobQueueError as error:
        return _refused(run_id, _("Run {} was not cancelled: {}"), error, site)
    if done.changed and done.state == State.CANCELLED:
        text = _("Run {} was cancelled.")
    elif done.changed:
        text = _("Run {} is running: it was asked to cancel. It may still run to its end, but is not retried.")
    elif done.state == State.RUNNING:
        text = _("Run {} is running, and was asked to cancel before. Nothing was changed.")
    else:
        text = _("Run {} has ended already: it is {}. Nothing was changed.")
    return Told(done.changed, format_html(text, _link(run_id, site), done.state.replace("_", "-")), run_id)


def _refused(run_id: int, text: str, error: JobQueueError, site: str) -> Told:
    return Told(False, format_html(text, _link(run_id, site), str(error)), run_id)


def _link(run_id: int, site: str) -> str:
    address = reverse("admin:django_jobqueue_run_change", args=[run_id], current_app=site)
    return format_html('<a href="{}">{}</a>', address, run_id)


REPLAY = Verb(
    name="replay",
    permission="replay_run",
    button=gettext_lazy("Replay"),
    title=gettext_lazy("Replay %d runs?"),
    title_of_one=gettext_lazy("Replay run %d?"),
    effect=gettext_lazy(
        "The payload runs again, as a new run that starts at once, by the job as it is now. "
        "Only a run that has ended can be replayed, and only once: to run it yet again, replay the new run. "
        "The old one stays as it is."
    ),
    act=_replay,
    act_on_many=bulk.replay,
    number=bulk.number_to_replay,
)

CANCEL = Verb(
    name="cancel",
    permission="cancel_run",
    button=gettext_lazy("Cancel"),
    title=gettext_lazy("Cancel %d runs?"),
    title_of_one=gettext_lazy("Cancel run %d?"),
    effect=gettext_lazy(
        "A pending run is cancelled at once. A running one is asked to cancel: its attempt may still run to its end, "
        "but it is not retried. What has been done is not undone."
    ),
    act=_cancel,
    act_on_many=bulk.cancel,
    number=bulk.number_to_cancel,
)

FORCE = Verb(
    name="force_cancel",
    permission="cancel_run",
    button=gettext_lazy("Cancel by force"),
    title=gettext_lazy("Cancel %d runs by force?"),
    title_of_one=gettext_lazy("Cancel run %d by force?"),
    effect=gettext_lazy(
        "A running run is asked to cancel, and where its job has a process of its own, that is killed two seconds later. "
        "A job in a thread or on the event loop cannot be killed: it is only asked. What has been done is not undone."
    ),
    act=partial(_cancel, force=True),
    act_on_many=partial(bulk.cancel, force=True),
    number=partial(bulk.number_to_cancel, force=True),
)
