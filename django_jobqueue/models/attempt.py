"""Attempts: the history of runs."""

from __future__ import annotations

from django.db import models

from django_jobqueue.models.run import Run


class Attempt(models.Model):
    """One try of a run on one worker: written once, when it ends. (run, number) is the receipt of that write."""

    pk = models.CompositePrimaryKey("run_id", "number")
    run = models.ForeignKey(Run, models.CASCADE, db_constraint=False, db_index=False, related_name="attempts")
    number = models.IntegerField()
    worker = models.CharField(max_length=255)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    outcome = models.CharField(max_length=16)
    error = models.TextField(null=True, blank=True)
    traceback = models.TextField(null=True, blank=True)

    class Meta:
        db_table = "jobqueue_attempt"
        ordering = ["run_id", "number"]

    def __str__(self) -> str:
        return f"attempt {self.number} of run {self.run_id}: {self.outcome}"
