"""Workers: the processes that claim runs, as they last reported themselves."""

from __future__ import annotations

from django.db import models

from django_jobqueue.models.fields import NameField


class Worker(models.Model):
    """One worker process. For people to look at: no run depends on this row, its lease is on the run itself."""

    name = models.CharField(max_length=255, primary_key=True)
    """``host:pid:random``, new at every start."""
    namespace = NameField(max_length=64, default="default")
    queues = models.JSONField(default=list)
    slots = models.JSONField(null=True)
    """How many of its slots each queue may hold, as far as it was told."""
    schedules = models.JSONField(default=dict)
    """Those that its release declares, by name, each with a hash of its declaration: while it lives, none of them is taken
    for removed, and none goes back to an older declaration."""
    concurrency = models.IntegerField()
    running = models.IntegerField(default=0)
    started_at = models.DateTimeField()
    heartbeat_at = models.DateTimeField()

    class Meta:
        db_table = "jobqueue_worker"

    def __str__(self) -> str:
        return self.name
