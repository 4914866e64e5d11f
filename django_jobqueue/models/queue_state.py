"""Queue states: what operators set at run time, over the settings."""

from __future__ import annotations

from django.db import models

from django_jobqueue.models.fields import NameField


class QueueState(models.Model):
    """The pause and the limit overrides of one queue, or of one job of it. No row: as the settings say."""

    namespace = NameField(max_length=64, default="default")
    queue = NameField(max_length=100)
    job = NameField(max_length=200, default="", blank=True)
    """Empty for the queue as a whole."""
    paused_at = models.DateTimeField(null=True, blank=True)
    paused_until = models.DateTimeField(null=True, blank=True)
    concurrent_jobs = models.IntegerField(null=True, blank=True)
    concurrent_jobs_until = models.DateTimeField(null=True, blank=True)
    concurrent_jobs_per_key = models.IntegerField(null=True, blank=True)
    concurrent_jobs_per_key_until = models.DateTimeField(null=True, blank=True)
    rate_limit = models.CharField(max_length=32, null=True, blank=True)
    rate_limit_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "jobqueue_queue_state"
        verbose_name = "queue"
        permissions = [("pause_queue", "Can pause and resume queue"), ("tune_queue", "Can set limits of queue")]
        constraints = [models.UniqueConstraint(fields=["namespace", "queue", "job"], name="jobqueue_queue_state_name")]

    def __str__(self) -> str:
        return f"{self.queue}.{self.job}" if self.job else self.queue
