"""Stats: how many attempts came to what, and when."""

from __future__ import annotations

from django.db import models

from django_jobqueue.models.fields import NameField


class Stat(models.Model):
    """What one worker finished in one minute. Only ever inserted, so that workers never wait for each other.

    Later the rows of an hour, and of a day, are put together into one.
    """

    namespace = NameField(max_length=64, default="default")
    minute = models.DateTimeField()
    """When the time begins that is counted here."""
    seconds = models.IntegerField(default=60)
    """How long it is."""
    queue = NameField(max_length=100)
    job = NameField(max_length=200)
    outcome = models.CharField(max_length=16)
    """The final state of the run, if it has ended; else what the attempt came to."""
    count = models.BigIntegerField()
    total_seconds = models.FloatField(default=0)
    """How long the jobs took together."""

    class Meta:
        db_table = "jobqueue_stat"
        indexes = [models.Index(fields=["namespace", "minute"], name="jobqueue_stat_minute")]

    def __str__(self) -> str:
        return f"{self.count} x {self.queue}.{self.job} {self.outcome}"
