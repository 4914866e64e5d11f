"""Runs that are added wherever a row is saved: by a view, in the admin, in a shell."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models.signals import post_save
from django.dispatch import receiver
from django.utils import timezone

from django_jobqueue import queues
from example_project.shop.models import Customer, Shipment


@receiver(post_save, sender=Customer)
def customer_saved(instance: Customer, *, created: bool, **kwargs: Any) -> None:
    if created:
        queues.notifications.add(
            job="sync_newsletter",
            payload={"customer_id": instance.pk},
            next_run_at=timezone.now() + timedelta(seconds=2),  # not now: the welcome mail comes first
        )


@receiver(post_save, sender=Shipment)
def shipment_saved(instance: Shipment, *, created: bool, **kwargs: Any) -> None:
    if created:
        queues.notifications.add(job="send_shipping_notice", payload={"order_id": instance.order_id})
