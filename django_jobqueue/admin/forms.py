"""The forms of the confirmation pages."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

MAX_REASON = 1000

MOMENT = "%Y-%m-%dT%H:%M:%S"
"""How browsers take a moment. It has seconds: a form that is sent back as it was shown changes nothing."""


def moment_input() -> forms.DateTimeInput:
    return forms.DateTimeInput({"type": "datetime-local", "step": 1}, MOMENT)


class ReasonForm(forms.Form):
    """Asks for a reason, which need not be given."""

    reason = forms.CharField(
        label=_("Reason"),
        required=False,
        max_length=MAX_REASON,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("Optional. Kept with your name in the activities."),
    )


class PauseForm(ReasonForm):
    """Asks also for the end of a pause."""

    until = forms.DateTimeField(label=_("Until"), required=False, widget=moment_input())
    field_order = ["until", "reason"]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        zone = timezone.get_current_timezone_name()
        self.fields["until"].help_text = (
            gettext("Optional; without it, this lasts until someone ends it. Time zone: %s.") % zone
        )

    def clean_until(self) -> datetime | None:
        until: datetime | None = self.cleaned_data["until"]
        if until is not None and until <= timezone.now():
            raise ValidationError(gettext("This time has passed."))
        return until


LIMIT_LABELS = {
    "concurrent_jobs": _("At once"),
    "concurrent_jobs_per_key": _("At once per key"),
    "rate_limit": _("Rate"),
}
"""The limits that operators may set."""


class LimitForm(PauseForm):
    """Asks for a limit, its value and its end."""

    limit = forms.ChoiceField(label=_("Limit"), choices=list(LIMIT_LABELS.items()))
    value = forms.CharField(
        label=_("Value"),
        required=False,
        max_length=32,
        help_text=_("A number, or a rate such as 100/m. Leave it empty to use the settings again."),
    )
    field_order = ["limit", "value", "until", "reason"]
