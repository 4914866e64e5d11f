"""Limit buckets: the counters of rate limits."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from django_jobqueue.models.fields import NameField, PartialIndex


class LimitBucket(models.Model):
    """The tokens that one rate limit has left, as of ``updated_at``. No row: as many as it can hold."""

    namespace = NameField(max_length=64, default="default")
    queue = NameField(max_length=100)
    key = NameField(max_length=500)
    """What runs are parked on that wait for its tokens."""
    tokens = models.FloatField()
    updated_at = models.DateTimeField()
    next_at = models.DateTimeField(null=True, blank=True)
    """When there is a token for the first of those who wait; NULL, if nobody does."""
    promised_at = models.DateTimeField(null=True, blank=True)
    """When the last of those who wait is to get its token."""
    full_at = models.DateTimeField()
    """When it is full again, and the row may go."""

    class Meta:
        db_table = "jobqueue_limit_bucket"
        constraints = [
            models.UniqueConstraint(fields=["namespace", "queue", "key"], name="jobqueue_limit_bucket_key"),
        ]
        indexes = [
            PartialIndex(
                fields=["namespace", "queue", "next_at"],
                condition=Q(next_at__isnull=False),
                name="jobqueue_limit_bucket_next",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.queue} {self.key}"
