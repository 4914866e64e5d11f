"""Schedules: the recurring definitions that make runs."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from django.db import connections, models
from django.db.models import F, Q
from django.utils.timezone import get_default_timezone

from django_jobqueue.cron import Cron
from django_jobqueue.errors import InvalidSchedule
from django_jobqueue.models.fields import NameField, PartialIndex, as_aware
from django_jobqueue.rhythm import ClockTimes, Interval, Rhythm
from django_jobqueue.states import Misfire, Origin, Overlap
from django_jobqueue.zones import zone_named


class ScheduleQuerySet(models.QuerySet["Schedule"]):
    """Questions about schedules, in the words of the glossary."""

    def upcoming(self) -> Self:
        """Those that are due at some time, by that time."""
        return self.filter(enabled=True, next_run_at__isnull=False).order_by("next_run_at")

    def with_outcome(self) -> Self:
        """With the state of the last run of each, as ``run_state``."""
        return self.annotate(run_state=F("last_run__state"))

    def locked(self) -> Self:
        """These rows as they are now, and as they stay for all others until the transaction ends, in which one must be."""
        features = connections[self.db].features
        if features.has_select_for_update:
            return self.select_for_update(no_key=features.has_select_for_no_key_update)
        # It writes nothing, but from now on nobody else can write.
        Schedule.objects.using(self.db).filter(pk=0).update(namespace=F("namespace"))
        return self.all()


class Schedule(models.Model):
    """A job that is to run again and again, by a cron line or an interval.

    Only operations and the scheduler write it. ``next_run_at`` is always kept: no due time is known to a process alone.
    """

    namespace = NameField(max_length=64, default="default")
    name = NameField(max_length=200)
    cron = models.CharField(max_length=200, null=True, blank=True)
    every_seconds = models.FloatField(null=True, blank=True)
    timezone = models.CharField(max_length=64, null=True, blank=True)
    starts_at = models.DateTimeField(null=True, blank=True)
    ends_at = models.DateTimeField(null=True, blank=True)
    queue = NameField(max_length=100)
    job = NameField(max_length=200)
    payload = models.JSONField(default=dict, blank=True)
    payload_function = models.CharField(max_length=255, null=True, blank=True)
    """The dotted path of the function in code that makes the payload instead."""
    priority = models.SmallIntegerField(null=True, blank=True)
    tags = models.JSONField(null=True, blank=True)
    misfire = models.CharField(max_length=16, default=Misfire.FIRE_ONCE.value)
    max_catch_up = models.IntegerField(default=100)
    overlap = models.CharField(max_length=16, default=Overlap.ALLOW.value)

    origin = models.CharField(max_length=16, default=Origin.DATABASE.value)
    declared = models.JSONField(null=True, blank=True)
    """The columns above and ``enabled``, as code or settings declare them; NULL for a schedule of the database."""
    replaced = models.JSONField(default=list, blank=True)
    """Hashes of the declarations that the present one has replaced, the latest last."""
    overrides = models.JSONField(default=dict, blank=True)
    """Those of them that an operator has set over the declaration."""
    removed_at = models.DateTimeField(null=True, blank=True)
    """Since when neither code nor settings declare it any more."""

    enabled = models.BooleanField(default=True)
    next_run_at = models.DateTimeField(null=True, blank=True)
    """The next due time; NULL after the last, and while it is disabled."""
    counted_from = models.DateTimeField(null=True, blank=True)
    """One interval before its first due time."""
    accounted_until = models.DateTimeField(null=True, blank=True)
    """The last due time of which it is decided what became of it. It is never decided again."""
    last_run_at = models.DateTimeField(null=True, blank=True)
    """The last due time that made a run."""
    last_run = models.ForeignKey(
        "Run", models.DO_NOTHING, null=True, blank=True, db_constraint=False, db_index=False, related_name="+"
    )
    skipped_since = models.DateTimeField(null=True, blank=True)
    """The due time since which none has made a run, for one and the same reason; NULL, if the last one has."""
    skip_reason = models.CharField(max_length=16, null=True, blank=True)
    skipped = models.IntegerField(default=0)
    """How many due times these are."""

    run_state: str | None
    """What became of the last run, as far as it is still there; only ``with_outcome`` says so."""

    objects = ScheduleQuerySet.as_manager()

    class Meta:
        db_table = "jobqueue_schedule"
        permissions = [("fire_schedule", "Can fire schedule now")]
        constraints = [models.UniqueConstraint(fields=["namespace", "name"], name="jobqueue_schedule_name")]
        indexes = [
            PartialIndex(
                fields=["namespace", "next_run_at"],
                full_fields=["namespace", "enabled", "next_run_at"],
                condition=Q(enabled=True),
                name="jobqueue_schedule_due",
            )
        ]

    def __str__(self) -> str:
        return str(self.name)

    @property
    def state(self) -> str:
        """Where it stands, in a word: enabled, disabled, removed (declared no more), or ended (not due again)."""
        if self.removed_at is not None:
            return "removed"
        if not self.enabled:
            return "disabled"
        return "ended" if self.next_run_at is None else "enabled"

    @property
    def outcome(self) -> str | None:
        """What came of its last due time, in words; None before the first. It must be ``with_outcome``."""
        if self.skip_reason is not None:
            return f"no run: {self.skip_reason}" + (f" ({self.skipped} times)" if self.skipped > 1 else "")
        if self.last_run_id is None:
            return None
        return self.run_state or "purged"

    @property
    def times(self) -> str:
        """When it is due, as it was said."""
        if self.cron is None:
            return f"every {self.every_seconds or 0:g} s"
        return f"{self.cron} ({self.timezone})" if self.timezone else self.cron

    @property
    def rhythm(self) -> Rhythm:
        """When it is due. Raises InvalidSchedule for a row that nothing of ours has written."""
        return Rhythm(
            times=self._times(),
            starts_at=as_aware(self.starts_at) if self.starts_at else None,
            ends_at=as_aware(self.ends_at) if self.ends_at else None,
        )

    def _times(self) -> ClockTimes | Interval:
        if self.cron is not None:
            zone = zone_named(self.timezone) if self.timezone else get_default_timezone()
            return ClockTimes(Cron.parse(self.cron), zone)
        if self.every_seconds is not None and self.counted_from is not None:
            return Interval(timedelta(seconds=self.every_seconds), as_aware(self.counted_from))
        raise InvalidSchedule(f"Schedule {self.name!r} has neither a cron line nor an interval.")


class Skip(models.Model):
    """Due times of a schedule, one after the other, that made no run for one and the same reason."""

    schedule = models.ForeignKey(Schedule, models.CASCADE, related_name="skips")
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    number = models.IntegerField()
    """How many they are."""
    reason = models.CharField(max_length=16)
    error = models.TextField(null=True, blank=True)
    """Why the last one was refused."""

    class Meta:
        db_table = "jobqueue_skip"
        constraints = [models.UniqueConstraint(fields=["schedule", "first_at"], name="jobqueue_skip_first")]
        indexes = [models.Index(fields=["last_at"], name="jobqueue_skip_last")]

    def __str__(self) -> str:
        return f"{self.number} of {self.schedule_id}: {self.reason}"
