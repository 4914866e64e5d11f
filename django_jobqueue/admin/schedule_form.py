"""The form of a schedule: what it asks, and what it makes of the answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from django_jobqueue.admin.forms import ReasonForm, moment_input
from django_jobqueue.conf import get_config
from django_jobqueue.cron import Cron
from django_jobqueue.errors import JobQueueError
from django_jobqueue.jobs import registry
from django_jobqueue.models import Schedule
from django_jobqueue.operations.schedules import OVERRIDABLE, draft
from django_jobqueue.states import Misfire, Overlap
from django_jobqueue.zones import zone_named

MISFIRES = {
    Misfire.FIRE_ONCE.value: _("one run for all missed due times"),
    Misfire.SKIP.value: _("no run"),
    Misfire.CATCH_UP.value: _("one run for each missed due time"),
}
OVERLAPS = {
    Overlap.ALLOW.value: _("another run"),
    Overlap.SKIP.value: _("no run"),
    Overlap.QUEUE.value: _("wait for its end"),
}


class ScheduleForm(ReasonForm):
    """All of a schedule of the database. Its ``options`` are the arguments of the operations."""

    name = forms.CharField(label=_("Name"), max_length=200)
    target = forms.ChoiceField(label=_("Job"))
    cron = forms.CharField(
        label=_("Cron line"),
        required=False,
        max_length=200,
        help_text=_("Minute, hour, day of month, month, day of week: 0 2 * * mon-fri. Or a word such as @daily."),
    )
    timezone = forms.CharField(
        label=_("Time zone"),
        required=False,
        max_length=64,
        help_text=_("For the cron line, such as Europe/Berlin. Default: that of the project."),
    )
    every_seconds = forms.FloatField(
        label=_("Or every … seconds"),
        required=False,
        help_text=_("Instead of a cron line: elapsed time, whatever the clocks show."),
    )
    starts_at = forms.DateTimeField(
        label=_("Not before"),
        required=False,
        widget=moment_input(),
        help_text=_("In the time zone of the project, like the end."),
    )
    ends_at = forms.DateTimeField(label=_("Not after"), required=False, widget=moment_input())
    payload = forms.JSONField(
        label=_("Payload"), required=False, initial=dict, widget=forms.Textarea({"rows": 4}), help_text=_("As JSON.")
    )
    priority = forms.IntegerField(
        label=_("Priority"), required=False, help_text=_("From -100 to 100. Default: the job's.")
    )
    misfire = forms.ChoiceField(label=_("If no worker looked in time"), choices=MISFIRES)
    overlap = forms.ChoiceField(label=_("If the last run is not over"), choices=OVERLAPS)
    enabled = forms.BooleanField(label=_("Enabled"), required=False, initial=True)
    field_order = [
        *("name", "target", "cron", "timezone", "every_seconds", "starts_at", "ends_at"),
        *("payload", "priority", "misfire", "overlap", "enabled", "reason"),
    ]

    def __init__(self, *arguments: Any, schedule: Schedule | None = None, secrets: bool = True, **options: Any) -> None:
        """Ask about *schedule*, or about a new one; not about a payload whose *secrets* are not for the user."""
        self.schedule = schedule
        if schedule is not None:
            options["initial"] = {name: getattr(schedule, name, None) for name in self.base_fields}
        super().__init__(*arguments, **options)
        for name in list(self._superfluous(secrets)):
            del self.fields[name]
        if "target" in self.fields:
            self.fields["target"].choices = _targets()  # type: ignore[attr-defined]

    @property
    def options(self) -> dict[str, Any]:
        """What was said, but for the name, the job and the reason; of a schedule that there is, what is new."""
        said = set(self.cleaned_data) if self.schedule is None else set(self.changed_data)
        return {name: self.cleaned_data[name] for name in said - {"name", "target", "reason"}}

    @property
    def queue(self) -> str:
        return str(self.cleaned_data["target"]).partition(" ")[0]

    @property
    def job(self) -> str:
        return str(self.cleaned_data["target"]).partition(" ")[2]

    def clean_cron(self) -> str | None:
        return _checked(lambda text: Cron.parse(text).expression, self.cleaned_data["cron"])

    def clean_timezone(self) -> str | None:
        return _checked(lambda text: zone_named(text).key, self.cleaned_data["timezone"])

    def clean_payload(self) -> Any:
        return self.cleaned_data["payload"] or {}

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not self.errors:
            try:
                self.draft = draft(self.schedule, self.options)
            except JobQueueError as error:
                raise ValidationError(str(error)) from error
        return cleaned

    def _superfluous(self, secrets: bool) -> Iterator[str]:
        if self.schedule is None:
            return
        yield from ("name", "target")
        if self.schedule.declared is not None:
            yield from (name for name in self.base_fields if name not in {*OVERRIDABLE, "reason", "name", "target"})
        elif not secrets:
            yield "payload"


def _checked(check: Callable[[str], str], text: str) -> str | None:
    if not text:
        return None
    try:
        return check(text)
    except JobQueueError as error:
        raise ValidationError(str(error)) from error


def _targets() -> list[tuple[str, str]]:
    """The jobs of all queues. No name has a blank, but a name may have a dot."""
    return [(f"{queue} {job}", f"{queue}.{job}") for queue in get_config().queues for job in registry.names(queue)]
