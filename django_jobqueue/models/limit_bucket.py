"""Limit buckets: the counters of rate limits."""

from __future__ import annotations

from django.db import models

from django_jobqueue.models.fields import NameField


class LimitBucket(models.Model):
    """The tokens that one rate limit has left, as of ``updated_at``."""

    namespace = NameField(max_length=64, default="default")
    key = NameField(max_length=320)
    tokens = models.FloatField()
    updated_at = models.DateTimeField()

    class Meta:
        db_table = "jobqueue_limit_bucket"
        constraints = [models.UniqueConstraint(fields=["namespace", "key"], name="jobqueue_limit_bucket_key")]

    def __str__(self) -> str:
        return str(self.key)
