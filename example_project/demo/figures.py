"""Figures: what happened, counted in the database and in the folders, and compared with what had to happen."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from email import message_from_bytes
from typing import Any

from django.conf import settings
from django.db.models import Count, F, Max, Min, Q, Sum

from django_jobqueue import queues
from django_jobqueue.models import Attempt, Run
from example_project.shop.models import Customer, Order
from example_project.shop.trouble import is_full, is_greylisted

MAIL_JOBS = ["send_welcome", "send_order_confirmation", "send_shipping_notice"]
COLUMNS = ["added", "completed", "retried", "dead_lettered", "attempts"]

HANDED_BACK = F("releases")
"""How many attempts of a run have not even started: a worker that stalls gives others what lies ready in it."""


@dataclass(kw_only=True)
class Visits:
    """What the visitors did, and so which runs the site had to add; and how often the schedule had to fire meanwhile."""

    loaded: int
    sign_ups: int = 0
    orders: int = 0
    parcels: int = 0
    repeats: int = 0
    ticks: int = 0

    def runs(self) -> dict[str, int]:
        return {
            "send_welcome": self.loaded + self.sign_ups,
            "sync_newsletter": self.sign_ups,
            "send_order_confirmation": self.orders + self.repeats,
            "reserve_stock": self.orders,
            "render_invoice": self.orders,
            "send_shipping_notice": self.parcels,
            "sum_up_sales": self.ticks,
        }


def states() -> dict[str, int]:
    """Return how many runs are in each state."""
    return dict(Run.objects.values_list("state").annotate(Count("pk")).order_by("state"))


def table() -> str:
    """Return the figures of each job and of all, as text. Retried are runs that failed first and completed then."""
    completed = Q(state="completed")
    counts = {
        "added": Count("pk"),
        "completed": Count("pk", filter=completed),
        "retried": Count("pk", filter=completed & Q(failures__gt=0)),
        "dead_lettered": Count("pk", filter=Q(state="dead_lettered")),
        "attempts": Sum(F("attempt") - HANDED_BACK, default=0),
    }
    rows: list[tuple[str, Mapping[str, object]]] = [
        (f"{row['queue']}.{row['job']}", dict(row))
        for row in Run.objects.values("queue", "job").annotate(**counts).order_by("queue", "job")
    ]
    rows.append(("all", Run.objects.aggregate(**counts)))
    heading = f"{'job':<38}" + "".join(f"{column.replace('_', '-'):>15}" for column in COLUMNS)
    lines = [f"{name:<38}" + "".join(f"{row[column]:>15}" for column in COLUMNS) for name, row in rows]
    rule = "-" * len(heading)
    return "\n".join([heading, rule, *lines[:-1], rule, lines[-1]])


def pace() -> str:
    """Return how long the worker took, and how many mails there are, as text."""
    span = Attempt.objects.aggregate(first=Min("started_at"), last=Max("finished_at"))
    seconds = (span["last"] - span["first"]).total_seconds()
    rows = {
        "mails in the folder": str(mailed_runs().total()),
        "invoices in the folder": str(invoiced_orders().total()),
        "seconds": f"{seconds:.1f}",
        "runs per second": f"{Run.objects.ended().count() / seconds:.1f}",
    }
    return "\n".join(f"{name:<38}{value:>15}" for name, value in rows.items())


def times_to_fire(schedule: str) -> int:
    """Return how often a schedule of one second had to fire, from the first time that it did to the last.

    On a machine that stalls, one run may stand for several times that it was due.
    """
    fired = Run.objects.filter(schedule__name=schedule)
    span = fired.aggregate(first=Min("fires_at"), last=Max("fires_at"))
    missed = fired.filter(fires_at__gt=span["first"]).aggregate(number=Sum("missed", default=0))["number"]
    return round((span["last"] - span["first"]).total_seconds()) + 1 - missed


def problems(visits: Visits) -> list[str]:
    """Return what is not as it had to be."""
    mails = mail_addresses()
    most_attempts = queues.notifications.jobs["send_welcome"].options.max_attempts
    full = {pk for pk, address in mails.items() if is_full(address)}
    greylisted = {pk for pk, address in mails.items() if is_greylisted(address)} - full
    orders = Order.objects.values_list("pk", flat=True)
    readers = Customer.objects.filter(newsletter_since__isnull=False)
    added = dict(Run.objects.values_list("job").annotate(Count("pk")))

    expectations: dict[str, tuple[Counter[Any], Counter[Any]]] = {
        "runs added": (Counter(added), Counter(visits.runs())),
        "runs completed": (_runs(state="completed"), _runs() - Counter(full)),
        "runs dead-lettered": (_runs(state="dead_lettered", attempt=most_attempts + HANDED_BACK), Counter(full)),
        "runs retried once": (_runs(state="completed", failures=1, attempt=2 + HANDED_BACK), Counter(greylisted)),
        "runs retried at all": (_runs(state="completed", attempt__gt=1 + HANDED_BACK), Counter(greylisted)),
        "attempts in the history": (
            Counter(Attempt.objects.values_list("run_id", flat=True)),
            Counter(dict(Run.objects.values_list("pk", F("attempt") - HANDED_BACK))),
        ),
        "mails in the folder": (mailed_runs(), Counter(mails.keys() - full)),
        "invoices in the folder": (invoiced_orders(), Counter(orders)),
        "orders with a reservation": (Counter(orders.exclude(reservation="")), Counter(orders)),
        "readers of the newsletter": (Counter(readers=readers.count()), Counter(readers=visits.sign_ups)),
    }
    return [
        f"{what}: too few are {dict(expected - found)!s:.200}, too many are {dict(found - expected)!s:.200}"
        for what, (found, expected) in expectations.items()
        if found != expected
    ]


def mail_addresses() -> dict[int, str]:
    """Return the address that each mail run had to write to."""
    customers = dict(Customer.objects.values_list("pk", "email"))
    orders = dict(Order.objects.values_list("pk", "customer__email"))
    return {
        run.pk: orders[run.payload["order_id"]] if "order_id" in run.payload else customers[run.payload["customer_id"]]
        for run in Run.objects.filter(job__in=MAIL_JOBS)
    }


def mailed_runs() -> Counter[int]:
    """Return how many mails of each run are in the folder; a mail bears the id of its run."""
    mails = (message_from_bytes(file.read_bytes()) for file in settings.MAILBOX.glob("*.eml"))
    return Counter(int(re.sub(r"\D", "", mail["Message-ID"])) for mail in mails)


def invoiced_orders() -> Counter[int]:
    """Return the orders whose invoice is in the folder."""
    return Counter(int(file.stem) for file in settings.INVOICES.glob("*.html"))


def _runs(**conditions: object) -> Counter[int]:
    return Counter(Run.objects.filter(**conditions).values_list("pk", flat=True))
