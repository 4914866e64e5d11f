"""Runs: requests to run a job to its end, live and ended alike, one row each."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from django.db import connections, models
from django.db.models import BooleanField, Case, F, Func, Q, Value, When
from django.db.models.functions import Coalesce

from django_jobqueue.errors import InvalidArgument
from django_jobqueue.models.fields import NameField, PartialIndex
from django_jobqueue.models.now import Now
from django_jobqueue.states import FINAL_STATES, Delivery, Reason, State


class RunQuerySet(models.QuerySet["Run"]):
    """Questions about runs, in the words of the glossary."""

    def in_state(self, state: State | str) -> Self:
        try:
            return self.filter(state=State(state))
        except ValueError:
            raise InvalidArgument.unknown("state", state, [known.value for known in State]) from None

    def scheduled(self) -> Self:
        """Pending, for a time to come."""
        return self.filter(state=State.PENDING, run_at__gt=Now())

    def due(self) -> Self:
        """Pending, and its time has come."""
        return self.filter(state=State.PENDING, run_at__lte=Now())

    def retrying(self) -> Self:
        """Pending after at least one failure."""
        return self.filter(state=State.PENDING, failures__gt=0)

    def live(self) -> Self:
        """Not ended yet."""
        return self.filter(state__in=[State.PENDING, State.RUNNING])

    def ended(self) -> Self:
        """In a final state."""
        return self.filter(state__in=FINAL_STATES)

    def tagged(self, *tags: str) -> Self:
        """With all of these *tags*."""
        if connections[self.db].vendor == "sqlite":
            return self.filter(*map(_has_tag_on_sqlite, tags))
        return self.filter(tags__contains=list(tags)) if tags else self.all()

    def cancel_pending(self, reason: Reason = Reason.CANCELLED) -> int:
        """Cancel those that are pending; answer how many."""
        return self.filter(state=State.PENDING).update(
            state=State.CANCELLED,
            reason=reason,
            cancel_requested_at=Now(),
            finished_at=Now(),
            unique_lock=Case(When(unique_lock__startswith="w", then=F("unique_lock"))),  # a window outlives its run
        )

    def replace_pending(self) -> int:
        """Cancel those that are pending, so that others may take their place and their locks; answer how many."""
        return self.filter(state=State.PENDING).update(
            state=State.CANCELLED, reason=Reason.REPLACED, finished_at=Now(), unique_lock=None
        )

    def outside_windows(self, now: datetime) -> Self:
        """Those that keep no other run out by now: a run of a unique job holds its window until that ends."""
        return self.filter(Q(unique_lock=None) | Q(unique_lock__lt=f"w{int(now.timestamp()):010d}"))

    def request_cancel(self, *, force: bool = False) -> int:
        """Ask those that are running to end as cancelled; answer how many were not asked before, or not by *force*."""
        running = self.filter(state=State.RUNNING)
        if not force:
            return running.filter(cancel_requested_at=None).update(cancel_requested_at=Now())
        asked_at = Coalesce(F("cancel_requested_at"), Now())
        return running.filter(cancel_forced=None).update(cancel_requested_at=asked_at, cancel_forced=True)


def _has_tag_on_sqlite(tag: str) -> Func:
    """What ``contains`` is elsewhere."""
    return Func(
        F("tags"),
        Value(tag),
        template="EXISTS (SELECT 1 FROM json_each(%(expressions)s)",
        arg_joiner=") WHERE value = ",
        output_field=BooleanField(),
    )


class Run(models.Model):
    """One request to run a job to its end. Only operations and engines write it; a final row never changes."""

    namespace = NameField(max_length=64, default="default")
    queue = NameField(max_length=100)
    job = NameField(max_length=200)
    version = models.IntegerField(default=1)
    payload = models.JSONField(default=dict)

    state = NameField(max_length=16, default=State.PENDING.value)
    reason = models.CharField(max_length=32, null=True, blank=True)
    priority = models.SmallIntegerField(default=0)
    run_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)

    attempt = models.IntegerField(default=0)
    """The number of the latest attempt. It only grows, at each claim, and so fences every write of a worker."""
    failures = models.IntegerField(default=0)
    crashes = models.IntegerField(default=0)
    snoozes = models.IntegerField(default=0)
    releases = models.IntegerField(default=0)
    unknown_since = models.DateTimeField(null=True, blank=True)
    """When a worker first put it back because its release does not know the job; None once another one does."""
    max_attempts = models.SmallIntegerField(null=True, blank=True)
    timeout_seconds = models.FloatField(null=True, blank=True)
    delivery = models.CharField(max_length=16, default=Delivery.AT_LEAST_ONCE.value)

    lease_until = models.DateTimeField(null=True, blank=True)
    worker = models.CharField(max_length=255, null=True, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    cancel_forced = models.BooleanField(null=True, blank=True)
    """Whether its process is killed, if it does not heed that soon."""
    blocked_on = NameField(max_length=500, null=True, blank=True)

    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    result = models.JSONField(null=True, blank=True)
    error = models.TextField(null=True, blank=True)
    progress = models.JSONField(null=True, blank=True)

    concurrency_key = NameField(max_length=255, null=True, blank=True)
    rate_key = NameField(max_length=255, null=True, blank=True)
    unique_key = NameField(max_length=255, null=True, blank=True)
    unique_lock = NameField(max_length=64, null=True, blank=True)
    tags = models.JSONField(null=True, blank=True)
    tenant = models.CharField(max_length=255, null=True, blank=True)
    user = models.TextField(null=True, blank=True, db_column="user_id")
    trace_id = models.CharField(max_length=64, null=True, blank=True)
    metadata = models.JSONField(null=True, blank=True)
    replay_of = models.ForeignKey(
        "self", models.DO_NOTHING, null=True, blank=True, db_constraint=False, db_index=False, related_name="replays"
    )
    schedule = models.ForeignKey(
        "Schedule", models.DO_NOTHING, null=True, blank=True, db_constraint=False, db_index=False, related_name="runs"
    )
    fires_at = models.DateTimeField(null=True, blank=True)
    missed = models.IntegerField(null=True, blank=True)
    published_at = models.DateTimeField(null=True, blank=True)

    added: bool = True
    """False where ``add()`` gave back a run that was there already."""

    objects = RunQuerySet.as_manager()

    class Meta:
        db_table = "jobqueue_run"
        permissions = [
            ("replay_run", "Can replay run"),
            ("cancel_run", "Can cancel run"),
            ("view_payload", "Can view payload with its secrets"),
        ]
        indexes = [
            # What a claim walks: the order of its columns is the order of claiming.
            PartialIndex(
                fields=["namespace", "queue", "-priority", "run_at", "id"],
                full_fields=["namespace", "queue", "state", "blocked_on", "-priority", "run_at", "id"],
                condition=Q(state=State.PENDING.value, blocked_on=None),
                name="jobqueue_run_claim",
            ),
            # The lines of those that are parked on the same limit, in the same order; a full index above has them too.
            PartialIndex(
                fields=["namespace", "queue", "blocked_on", "-priority", "run_at", "id"],
                full_fields=[],
                condition=Q(state=State.PENDING.value, blocked_on__isnull=False),
                name="jobqueue_run_parked",
            ),
            # Where the order of a key is kept, its earliest run that has not ended goes first.
            PartialIndex(
                fields=["namespace", "queue", "concurrency_key", "id"],
                full_fields=["namespace", "queue", "concurrency_key", "state", "id"],
                condition=Q(state__in=[State.PENDING.value, State.RUNNING.value], concurrency_key__isnull=False),
                name="jobqueue_run_key",
            ),
            PartialIndex(
                fields=["namespace", "lease_until"],
                condition=Q(state=State.RUNNING.value),
                name="jobqueue_run_running",
            ),
            PartialIndex(
                fields=["namespace", "unique_lock"],
                condition=Q(unique_lock__isnull=False),
                name="jobqueue_run_unique",
                unique=True,
            ),
            PartialIndex(
                fields=["schedule", "fires_at"],
                condition=Q(schedule__isnull=False),
                name="jobqueue_run_fired",
                unique=True,
            ),
            PartialIndex(
                fields=["replay_of"],
                condition=Q(replay_of__isnull=False),
                name="jobqueue_run_replays",
                unique=True,
            ),
            PartialIndex(
                fields=["schedule"],
                full_fields=["schedule", "state"],
                condition=Q(schedule__isnull=False, state__in=[State.PENDING.value, State.RUNNING.value]),
                name="jobqueue_run_live_of_schedule",
            ),
            PartialIndex(
                fields=["namespace", "queue", "id"],
                full_fields=["namespace", "queue", "state", "id"],
                condition=Q(state__in=[State.FAILED.value, State.DEAD_LETTERED.value]),
                name="jobqueue_run_failed",
            ),
            PartialIndex(
                fields=["namespace", "expires_at"],
                full_fields=["namespace", "state", "expires_at"],
                condition=Q(state=State.PENDING.value, expires_at__isnull=False),
                name="jobqueue_run_expiring",
            ),
        ]
        constraints = [
            # Kept as a CHECK, the fence may ask for lease_until alone: asking for the state would tempt the planner
            # into the index of running rows, where it would wade through dead entries.
            models.CheckConstraint(
                condition=Q(state=State.RUNNING.value, lease_until__isnull=False)
                | Q(~Q(state=State.RUNNING.value), lease_until__isnull=True),
                name="jobqueue_run_leased_while_running",
            ),
            models.CheckConstraint(
                condition=Q(
                    state__in=[state.value for state in sorted(FINAL_STATES)],
                    finished_at__isnull=False,
                    reason__isnull=False,
                )
                | Q(
                    state__in=[State.PENDING.value, State.RUNNING.value], finished_at__isnull=True, reason__isnull=True
                ),
                name="jobqueue_run_finished_when_final",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.queue}.{self.job} #{self.pk}"

    def __repr__(self) -> str:
        if "state" in self.get_deferred_fields():
            return f"<Run {self.pk}: {self.queue}.{self.job}>"
        reason = f" ({self.reason})" if self.reason else ""
        return f"<Run {self.pk}: {self.queue}.{self.job} {self.state}{reason}, attempt {self.attempt}>"

    def standing(self, *, now: datetime) -> str:
        """The word for where it stands: its state, or scheduled or retrying where that says more of a pending one."""
        if self.state != State.PENDING:
            return str(self.state)
        if self.failures:
            return "retrying"
        return "scheduled" if self.run_at > now else "pending"
