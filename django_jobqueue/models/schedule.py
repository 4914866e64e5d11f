"""Schedules: recurring definitions that make runs."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from django_jobqueue.models.fields import NameField, PartialIndex


class Schedule(models.Model):
    """A job that is to run again and again, by a cron line or an interval."""

    namespace = NameField(max_length=64, default="default")
    name = NameField(max_length=200)
    cron = models.CharField(max_length=200, null=True, blank=True)
    every_seconds = models.FloatField(null=True, blank=True)
    timezone = models.CharField(max_length=64, null=True, blank=True)
    queue = NameField(max_length=100)
    job = NameField(max_length=200)
    payload = models.JSONField(default=dict, blank=True)
    enabled = models.BooleanField(default=True)
    next_run_at = models.DateTimeField(null=True, blank=True)
    last_run_at = models.DateTimeField(null=True, blank=True)
    misfire = models.CharField(max_length=16, default="fire_once")
    overlap = models.CharField(max_length=16, default="allow")

    class Meta:
        db_table = "jobqueue_schedule"
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
