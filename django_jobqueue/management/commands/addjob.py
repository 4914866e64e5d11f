"""``manage.py addjob``: add a run of a job."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Mapping
from itertools import takewhile
from math import inf
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from django_jobqueue.conf import external_queues, get_config
from django_jobqueue.errors import PayloadError, RunVetoed, nearest, shown
from django_jobqueue.jobs import registry
from django_jobqueue.management.arguments import add_format, duration, json_object, moment
from django_jobqueue.management.command import JobQueueCommand
from django_jobqueue.management.output import as_record
from django_jobqueue.management.waiting import STILL_GOING, wait_for_end
from django_jobqueue.models import Run
from django_jobqueue.operations import enqueue
from django_jobqueue.operations.new_runs import AddOptions
from django_jobqueue.operations.visible import Visible
from django_jobqueue.payloads import decode_json
from django_jobqueue.payloads.kinds import Kind
from django_jobqueue.printable import printable
from django_jobqueue.states import FINAL_STATES, OnDuplicate, State

FACTS = ["queue", "job", "state", "run_at", "reason", "result", "error", "finished_at"]
"""What programs want to know of a run that they have added, beside its id and whether they have."""


class Command(JobQueueCommand):
    """The face of ``operations.runs.enqueue``: each of its options is one of ours."""

    help = "Adds a run of a job, and prints its id."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add(
            "words",
            nargs="+",
            metavar="word",
            help="The job, as queue.job or as queue job; then its arguments, as key=value. A value is read as JSON if it "
            "is valid JSON and the job does not take text there, and as text otherwise.",
        )
        payload = parser.add_mutually_exclusive_group()
        payload.add_argument("--payload", type=json_object, metavar="JSON", help="The arguments as a JSON object.")
        payload.add_argument("--payload-file", metavar="PATH", help="The file of that object; - is standard input.")
        add("--at", type=moment, dest="next_run_at", metavar="MOMENT", help="Start it at 2030-02-28T09:00.")
        add("--delay", type=duration, dest="delay_seconds", metavar="DURATION", help="Start it after 90, 5m, 1h30m.")
        add("--priority", type=int, metavar="N", help="From -100 to 100, higher first. Default: the job's.")
        add("--max-attempts", type=int, metavar="N", help="Give up after this many failures. Default: the job's.")
        add(
            "--timeout",
            type=duration,
            dest="timeout_seconds",
            metavar="DURATION",
            help="How long each attempt may take: 90, 5m, 1h30m. Default: the job's.",
        )
        add("--idempotency-key", metavar="TEXT", help="If this key has made a run before, print that run.")
        add("--unique-key", metavar="TEXT", help="For a unique job: what makes it the same as another run.")
        add(
            "--on-duplicate",
            choices=[str(word) for word in OnDuplicate],
            help="For a unique job: print the existing run, refuse, or replace it. Default: skip.",
        )
        add("--expires-at", type=moment, metavar="MOMENT", help="Cancel it if it has not started by then.")
        add("--concurrency-key", metavar="KEY", help="The key by which a concurrency limit counts it.")
        add("--rate-key", metavar="KEY", help="The key by which a rate limit counts it.")
        add("--tag", action="append", dest="tags", metavar="TEXT", help="A label; can be repeated.")
        add("--tenant", metavar="KEY", help="Whom it is for.")
        add("--user", metavar="KEY", help="Who asked for it.")
        add("--trace-id", metavar="TEXT", help="The trace that it belongs to.")
        add("--metadata", type=json_object, metavar="JSON", help="More about it, as a JSON object.")
        add(
            "--wait",
            nargs="?",
            type=duration,
            const=inf,
            metavar="DURATION",
            help=f"Wait until it has ended, and print its result. Exit with 1 if it ended badly, and with "
            f"{STILL_GOING} if it has not ended in time.",
        )
        add_format(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        queue, job, words = _named(options["words"])
        payload = {**_payload(options), **_arguments(words, registry.get(queue, job).schema.kinds)}
        given = {name: options[name] for name in AddOptions.__annotations__ if options.get(name) is not None}
        run = enqueue(queue, job, payload, **given)
        if run is None:
            raise RunVetoed(queue, job)
        if options["wait"] is None:
            self._tell(run, str(run.pk), run.added, options)
            return
        self.note(f"Run {run.pk} was added. Waiting for its end.")
        ended = Visible(wait_for_end(run.pk, options["wait"]), secrets=False).run
        self._tell(ended, json.dumps(ended.result), run.added, options)
        _exit_as(ended)

    def _tell(self, run: Run, text: str, added: bool, options: dict[str, Any]) -> None:
        form = options["format"]
        self.answer(text if form == "text" else as_record(_facts(run, added), form))


def _named(words: list[str]) -> tuple[str, str, list[str]]:
    """The queue and the job that the first one or two *words* name, and the words after them."""
    names = list(takewhile(lambda word: "=" not in word, words))
    found = _jobs(names[0]) if names else []
    if len(names) == 2 and (names[0] in get_config().queues or not found):
        return names[0], names[1], words[2:]
    if not names or len(names) > 2:
        raise CommandError("Name one job first, as queue.job or as queue job; then its arguments, as key=value.")
    if not found:
        known = nearest(names[0], [f"{queue}.{job}" for queue, job in _known()])
        raise CommandError(f"{names[0]!r} is not a job. {known}")
    if len(found) > 1:
        raise CommandError(f"{names[0]!r} means more than one job: give queue and job as two words.")
    [(queue, job)] = found
    return queue, job, words[1:]


def _jobs(name: str) -> list[tuple[str, str]]:
    """The jobs that *name* may mean, as queue.job."""
    return [(queue, job) for queue, job in _known() if f"{queue}.{job}" == name] + _elsewhere(name)


def _known() -> list[tuple[str, str]]:
    return [(queue, job) for queue in get_config().queues for job in registry.names(queue)]


def _elsewhere(name: str) -> list[tuple[str, str]]:
    """The jobs of external queues that *name* may mean: nobody here knows which there are."""
    return [
        (queue, name.removeprefix(f"{queue}."))
        for queue in external_queues()
        if name.startswith(f"{queue}.") and len(name) > len(queue) + 1
    ]


def _arguments(words: list[str], kinds: Mapping[str, Kind]) -> dict[str, Any]:
    """The arguments that *words* give, where *kinds* are what the job takes."""
    arguments = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key:
            raise CommandError(f"{shown(word)} is not an argument of the job: write key=value.")
        if key in arguments:
            raise CommandError(f"{shown(key)} is given twice: give it once.")
        arguments[key] = _value(text, kinds.get(key))
    return arguments


def _value(text: str, kind: Kind | None) -> object:
    """What *text* is as JSON; *text* itself, where it is no JSON, or where the job takes text rather than that."""
    try:
        value = decode_json(text, root="JSON")
    except PayloadError:
        return text
    return text if kind is not None and str in kind.forms and type(value) not in kind.forms else value


def _payload(options: dict[str, Any]) -> dict[str, Any]:
    path = options["payload_file"]
    if path is None:
        return options["payload"] or {}
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
        return json_object(text)
    except (OSError, UnicodeError, ArgumentTypeError) as error:
        raise CommandError(f"--payload-file: {error}") from error


def _facts(run: Run, added: bool) -> dict[str, Any]:
    """What programs want to know; of a run that is gone since its key made it, little is known."""
    gone = run.get_deferred_fields()
    shown = run if gone else Visible(run, secrets=False).run
    return {"id": run.pk, "added": added} | {name: None if name in gone else getattr(shown, name) for name in FACTS}


def _exit_as(run: Run) -> None:
    """Raise CommandError, unless *run* is completed."""
    if run.state not in FINAL_STATES:
        raise CommandError(f"Run {run.pk} has not ended in time: it is {run.state}.", returncode=STILL_GOING)
    if run.state != State.COMPLETED:
        error = f": {printable(run.error)}" if run.error else "."
        raise CommandError(f"Run {run.pk} is {run.state.replace('_', '-')} ({run.reason}){error}")
