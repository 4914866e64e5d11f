"""The story of the demo, from an empty database to the last mail."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable
from itertools import product

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection

from django_jobqueue import operations
from django_jobqueue.models import Run
from example_project.demo import figures
from example_project.demo.browser import Browser
from example_project.demo.figures import Visits
from example_project.demo.programs import MANAGE, DemoFailed, Program
from example_project.shop.models import Customer, Product

LIMIT_SECONDS = 120
"""What the demo waits for must have come by then; on an ordinary machine that takes a small part of it."""

TICKER = "sales_ticker"
"""The schedule of the shop that is due each second."""

SHOWN_LINES = 5
"""Of each kind of line that the worker prints."""

GIVEN_NAMES = ["Amélie", "Bao", "Chioma", "Dmitri", "Elif", "Fjóla"]
FAMILY_NAMES = ["Andersson", "Brück", "Castro", "Diallo", "Evans"]


def tell() -> int:
    """Run the whole demo, and return its exit code."""
    say("The corner shop: a Django site, its queues, and a worker")
    prepare()
    visits = Visits(loaded=Customer.objects.count())

    with Program("runserver", "--noreload", "127.0.0.1:0", tell=lambda line: None) as server:
        site = server.wait_for(r"http://\S+?:\d+/", seconds=LIMIT_SECONDS)[0]
        say(f"The site is at {site}. Now a worker: manage.py runjobs")
        with Program("runjobs", "--no-reload", tell=sample(SHOWN_LINES)) as worker:
            visit(Browser(site), visits)
            say(
                f"Visitors came: {visits.sign_ups} signed up, {visits.orders} ordered, {visits.parcels} parcels were "
                f"shipped, {visits.repeats} confirmations sent again"
            )
            visits.ticks = stop_the_ticker(worker)
            wait_for_the_last_run(worker, server)
            exit_code = worker.stop(seconds=15)
            say(f"All runs have ended. The worker was asked to stop, and did: exit code {exit_code}")
    operations.schedule_reset(TICKER, actor="demo")

    return report(visits, exit_code)


def prepare() -> None:
    """Make a new database, with 500 customers who are to be welcomed."""
    for file in settings.VAR.glob("shop.sqlite3*"):
        file.unlink()
    for folder in (settings.MAILBOX, settings.INVOICES):
        shutil.rmtree(folder, ignore_errors=True)
    if connection.introspection.table_names():
        raise DemoFailed("The database that DATABASE names has tables already. Name an empty one.")
    call_command("migrate", verbosity=0)
    get_user_model().objects.create_superuser("demo", password="demo")
    call_command("loadcustomers")
    print(f"{Run.objects.count()} runs were added with them: a welcome mail for each.", flush=True)


def visit(browser: Browser, visits: Visits) -> None:
    """Sign up, buy and ship, on the pages of the site."""
    for number, names in enumerate(product(GIVEN_NAMES, FAMILY_NAMES), start=1):
        browser.submit("/join/", name=" ".join(names), email=f"guest{number:02}@example.net", country="")
        visits.sign_ups += 1

    products = list(Product.objects.values_list("pk", flat=True))
    buyers = Customer.objects.order_by("pk").values_list("email", flat=True)[::22]
    for number, email in enumerate(buyers):
        order = browser.submit("/buy/", email=email, product=products[number % len(products)], quantity=1 + number % 3)
        visits.orders += 1
        if number % 6 == 0:
            browser.submit(order, action=f"{order}resend/")
            visits.repeats += 1
        if number % 2 == 0:
            browser.submit(order, action=f"{order}ship/")
            visits.parcels += 1

    if "reports.render_invoice" not in browser.get("/"):
        raise DemoFailed("The home page does not show the latest runs.")


def stop_the_ticker(worker: Program) -> int:
    """Disable the schedule that fires each second, and return how often it had to fire until then."""
    worker.wait_for(r"sum_up_sales", seconds=LIMIT_SECONDS)
    operations.schedule_toggle(TICKER, enabled=False, actor="demo", reason="The visitors have gone.")
    ticks = figures.times_to_fire(TICKER)
    say(f"Meanwhile the schedule {TICKER} had to fire {ticks} times. Now it is disabled: manage.py showschedules")
    call_command("showschedules")
    return ticks


def wait_for_the_last_run(*programs: Program) -> None:
    """Wait until no run is pending or running; say every second how far it is."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while Run.objects.live().exists():
        if time.monotonic() > deadline:
            raise DemoFailed(f"After {LIMIT_SECONDS} seconds there are still runs to be worked: {figures.states()}")
        print("  " + ", ".join(f"{number} {state}" for state, number in figures.states().items()))
        for program in programs:
            program.check()
        time.sleep(1)


def report(visits: Visits, exit_code: int) -> int:
    """Print what happened, and return 0 if it is what had to happen."""
    say("What happened")
    print(figures.table())
    print(figures.pace())

    found = figures.problems(visits)
    if exit_code != 0:
        found.append(f"The worker's exit code is {exit_code}.")
    if found:
        say("What went wrong")
        print(*found, sep="\n")
        return 1
    say("Every run ended as it had to: each mail was sent once, and only full mailboxes got none")
    manage = " ".join(min(path, os.path.relpath(path), key=len) for path in (sys.executable, str(MANAGE)))
    print(f"Look around: start the site with   {manage} runserver")
    print(f"             and a worker with     {manage} runjobs")
    print("The shop is at   http://127.0.0.1:8000/")
    print("The admin is at  http://127.0.0.1:8000/admin/django_jobqueue/   user demo, password demo")
    print("The mails are in", settings.MAILBOX)
    return 0


def say(what: str) -> None:
    print(f"\n=== {what}", flush=True)


def sample(limit: int) -> Callable[[str], None]:
    """Return a function that prints the first lines of each kind: good ones, failures, dead letters, by their mark."""
    seen: Counter[str] = Counter()

    def tell_line(line: str) -> None:
        mark = line.partition(" ")[2][:1]
        seen[mark] += 1
        if seen[mark] <= limit:
            print(f"  worker | {line}", flush=True)
        elif seen[mark] == limit + 1:
            print(f"  worker | ...      {mark} and so on", flush=True)

    return tell_line
