"""The shop's jobs. A job may run twice, after a crash for example: each of these then leaves the same behind.

Three are declared in the settings, by their dotted paths, and so are plain functions. ``@job`` declares the others.
"""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

from django.conf import settings
from django.db.models import Sum
from django.template.loader import render_to_string
from django.utils import timezone

from django_jobqueue import Fail, RunContext, job, schedule
from example_project.shop.mailbox import send
from example_project.shop.models import Customer, Order


def send_welcome(customer_id: int, *, run: RunContext) -> None:
    customer = Customer.objects.filter(pk=customer_id).first()
    if customer is None:
        raise Fail(f"customer {customer_id} is gone")  # trying again is useless; any other error is tried again
    send("welcome", f"Welcome, {customer.name}", customer, run)


def send_order_confirmation(order_id: int, *, run: RunContext) -> None:
    order = Order.objects.select_related("customer", "product").get(pk=order_id)
    send("order_confirmation", f"Your order {order.number}", order.customer, run, order=order)


@job(queue="notifications", title="Shipping notice")
def send_shipping_notice(order_id: int, *, run: RunContext) -> None:
    order = Order.objects.select_related("customer", "product", "shipment").get(pk=order_id)
    send("shipping_notice", f"Your order {order.number} is on its way", order.customer, run, order=order)


@job(queue="notifications", max_attempts=10)
def sync_newsletter(customer_id: int) -> None:
    """Tell the newsletter of a new reader."""
    Customer.objects.filter(pk=customer_id, newsletter_since=None).update(newsletter_since=timezone.now())


@job  # no queue named: it joins "default"
async def reserve_stock(order_id: int) -> str:
    """Ask the warehouse to put the goods aside. Coroutines share one event loop, and wait there without a thread."""
    order = await Order.objects.aget(pk=order_id)
    await asyncio.sleep(0.1)  # the warehouse thinks
    order.reservation = f"R-{order.product_id:03}-{order_id:05}"
    await order.asave(update_fields=["reservation"])
    return order.reservation  # kept as the result of the run


def render_invoice(order_id: int, *, run: RunContext) -> None:
    order = Order.objects.select_related("customer", "product").get(pk=order_id)
    run.progress(1, 2, "typesetting")  # to be seen in the admin
    time.sleep(0.5)  # a beautiful invoice takes its time
    document = render_to_string("shop/invoice.html", {"order": order})
    settings.INVOICES.mkdir(exist_ok=True)
    (settings.INVOICES / f"{order_id}.html").write_text(document, encoding="utf-8")
    Order.objects.filter(pk=order_id).update(invoiced_at=timezone.now())
    run.progress(2, 2, "done")


@job(schedule=schedule(every_seconds=1, name="sales_ticker"))
def sum_up_sales() -> str:
    """Count the goods that were sold. Nobody adds its runs: a schedule does, in whichever worker looks first."""
    return f"{Order.objects.aggregate(sold=Sum('quantity', default=0))['sold']} sold"


@job(schedule=schedule("0 2 * * *", timezone="Europe/Berlin", name="close_the_day"))
def close_the_day(*, run: RunContext) -> str:
    """Count the orders of the last 24 hours: once each night, also when clocks are shifted."""
    end = run.fires_at or timezone.now()
    return f"{Order.objects.filter(created_at__range=(end - timedelta(days=1), end)).count()} orders"
