"""``manage.py testcron``: when a cron line is due, before it is trusted with anything."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import UTC
from typing import Any

from django.utils import timezone

from django_jobqueue.cron import Cron
from django_jobqueue.forecast import forecast, warnings
from django_jobqueue.management.arguments import add_format, moment, number
from django_jobqueue.management.command import JobQueueCommand
from django_jobqueue.management.output import as_csv, as_json, as_table
from django_jobqueue.models.fields import as_aware
from django_jobqueue.rhythm import ClockTimes, Rhythm
from django_jobqueue.zones import zone_named


class Command(JobQueueCommand):
    help = "Shows when a cron line is due next, in its time zone and in UTC, and what daylight saving does to it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("line", help="The five fields in quotes, or a word such as @daily.")
        add("--timezone", metavar="NAME", help="Its time zone, such as Europe/Berlin. Default: TIME_ZONE.")
        add("--count", type=number(int, 1, 1000), default=5, metavar="N", help="How many due times. Default: 5.")
        add("--after", type=moment, metavar="MOMENT", help="Only due times after this: 2030-02-28T09:00. Default: now.")
        add_format(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        zone = zone_named(options["timezone"]) if options["timezone"] else timezone.get_default_timezone()
        cron = Cron.parse(options["line"])
        rhythm = Rhythm(times=ClockTimes(cron, zone))
        after = as_aware(options["after"] or timezone.now())
        due = forecast(rhythm, after, options["count"])
        told = warnings(rhythm, after)
        times = [{"local": time.astimezone(zone).isoformat(), "utc": time, "shift": shift} for time, shift in due]
        if options["format"] == "json":
            self.answer(as_json({"cron": cron.expression, "timezone": str(zone), "due": times, "warnings": told}))
            return
        if options["format"] == "csv":
            self.answer(as_csv(times, ["local", "utc", "shift"]))
            return
        rows = [
            (f"{time.astimezone(zone):%a %Y-%m-%d %H:%M %Z}", f"{time.astimezone(UTC):%Y-%m-%d %H:%M}", shift)
            for time, shift in due
        ]
        self.answer("\n".join(as_table([str(zone), "UTC", "shift of clocks"], rows)))
        for warning in told:
            self.answer(warning, "WARNING")
