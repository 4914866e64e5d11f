"""Activities: who did what, to which queue, run or schedule, and why."""

from __future__ import annotations

from django.db import models

from django_jobqueue.models.fields import NameField


class Activity(models.Model):
    """One operation of a person or a program, written in the same transaction as what it did."""

    namespace = NameField(max_length=64, default="default")
    operation = NameField(max_length=64)
    """The key of the operation, such as ``jobs.cancel``."""
    actor = models.CharField(max_length=255)
    reason = models.TextField(blank=True, default="")
    queue = NameField(max_length=100, null=True, blank=True)
    run_id = models.BigIntegerField(null=True, blank=True)
    schedule_name = NameField(max_length=200, null=True, blank=True)
    detail = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        db_table = "jobqueue_activity"
        verbose_name_plural = "activities"
        indexes = [
            models.Index(fields=["namespace", "-created_at"], name="jobqueue_activity_recent"),
            models.Index(fields=["run_id"], name="jobqueue_activity_run"),
        ]

    def __str__(self) -> str:
        return f"{self.operation} by {self.actor}"
