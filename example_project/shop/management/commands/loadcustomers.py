"""``manage.py loadcustomers [FILE]``: take customers over from a CSV file, and welcome them all."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction

from django_jobqueue import queues
from example_project.shop.models import Customer

CUSTOMERS = Path(__file__).resolve().parents[2] / "data" / "customers.csv"


class Command(BaseCommand):
    help = "Takes customers over from a CSV file with the columns name, email, country. Known ones are left alone."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", nargs="?", type=Path, default=CUSTOMERS, help="default: the bundled customers")

    @transaction.atomic
    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        known = set(Customer.objects.values_list("email", flat=True))
        with file.open(encoding="utf-8", newline="") as rows:
            customers = [Customer(**row) for row in csv.DictReader(rows) if row["email"] not in known]
        Customer.objects.bulk_create(customers)

        # One statement for many runs; bulk_create sends no signals, so these customers get a welcome and nothing else.
        queues.notifications.bulk_add(
            {"job": "send_welcome", "payload": {"customer_id": customer.pk}} for customer in customers
        )
        self.stdout.write(f"{len(customers)} customers loaded.")
