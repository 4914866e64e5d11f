"""Idempotency keys: which run a key made, for as long as the key is remembered."""

from __future__ import annotations

from typing import Self

from django.db import models

from django_jobqueue.models.fields import NameField
from django_jobqueue.models.now import Now


class IdempotencyKeyQuerySet(models.QuerySet["IdempotencyKey"]):
    """Questions about keys."""

    def expired(self) -> Self:
        """Remembered for long enough."""
        return self.filter(expires_at__lte=Now())


class IdempotencyKey(models.Model):
    """A key that was given to ``add()``. It outlives its run, so that the key stays taken after a purge."""

    namespace = NameField(max_length=64, default="default")
    key_hash = NameField(max_length=64)
    arguments_hash = NameField(max_length=64)
    run_id = models.BigIntegerField()
    expires_at = models.DateTimeField()

    objects = IdempotencyKeyQuerySet.as_manager()

    class Meta:
        db_table = "jobqueue_idempotency_key"
        constraints = [models.UniqueConstraint(fields=["namespace", "key_hash"], name="jobqueue_idempotency_key_hash")]
        indexes = [models.Index(fields=["expires_at"], name="jobqueue_idempotency_expiry")]

    def __str__(self) -> str:
        return f"key of run {self.run_id}"
