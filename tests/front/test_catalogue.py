"""The catalogue of bad inputs, number by number: each is refused at the edge, in words that help, and leaves no row.

The numbers are those of a study of what breaks other queues. What is no mistake, or takes more than a line, stands below the
table; a database that is away or refuses (B53) is with the commands, in ``tests/worker/test_startup.py`` and
``tests/commands/test_conventions.py``, and that a job may say a thousand things a second (B56) in ``tests/worker/test_notes.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeAlias
from uuid import UUID

import pytest
from django.contrib.auth.models import Group
from django.core import checks
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction
from django.db.transaction import TransactionManagementError
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from django_jobqueue import RunContext, job, queues
from django_jobqueue.engines import engine_for
from django_jobqueue.errors import IdempotencyConflict, JobQueueError
from django_jobqueue.jobs.notes import Notes
from django_jobqueue.models import IdempotencyKey, Run, Schedule
from django_jobqueue.operations import cancel, get, replay, schedule_create
from django_jobqueue.payloads import decode_json
from django_jobqueue.queue import Queue
from tests.front.conftest import send

pytestmark = pytest.mark.django_db

Told: TypeAlias = Callable[[], str]
"""Does what is wrong, and answers what one is told."""

NAIVE = datetime(2031, 1, 1)  # noqa: DTZ001


def add(payload: Any = None, job: Any = "send", **options: Any) -> Told:
    return lambda: refusal(lambda: queues.mail.add(job, payload, **options))


def value(given: Any) -> Told:
    """Somewhere in a payload, of one run and of one among several."""

    def told() -> str:
        with CaptureQueriesContext(connection) as queries:
            said = add({"to": [given]})()
        assert len(queries) == 0
        assert bulk(lambda: [{"job": "send"}, {"job": "send", "payload": {"to": [given]}}])() == f"item 1: {said}"
        return said

    return told


def bulk(make: Callable[[], Iterable[Any]]) -> Told:
    return lambda: refusal(lambda: queues.mail.bulk_add(make()))


def call(function: Callable[..., object], *arguments: Any, **named: Any) -> Told:
    return lambda: refusal(lambda: function(*arguments, **named))


def command(*arguments: str) -> Told:
    return lambda: refusal(lambda: call_command(*arguments))


def check(**jobqueue: Any) -> Told:
    """What ``manage.py check`` says of settings."""

    def told() -> str:
        with override_settings(JOBQUEUE=jobqueue):
            return "\n".join(str(message) for message in checks.run_checks(tags=["jobqueue"]))

    return told


def declare(function: Callable[..., object] = send, **options: Any) -> Told:
    """What ``manage.py check`` says of a job."""

    def told() -> str:
        job(queue="mail", **options)(function)
        return "\n".join(str(message) for message in checks.run_checks(tags=["jobqueue"]))

    return told


def say(what: Callable[[RunContext], object]) -> Told:
    """What a job says of its run."""
    run = RunContext(id=1, attempt=1, queue="mail", job="send", payload={}, scheduled_for=NAIVE, _notes=Notes())
    return lambda: refusal(lambda: what(run))


def refusal(refused: Callable[[], object]) -> str:
    with pytest.raises((JobQueueError, CommandError, TypeError)) as caught:
        refused()
    return str(caught.value)


def nested(depth: int) -> Any:
    inside: Any = 0
    for _ in range(depth):
        inside = [inside]
    return inside


def circle() -> list[Any]:
    itself: list[Any] = []
    itself.append(itself)
    return itself


def good_but(index: int, of: int) -> Iterable[dict[str, Any]]:
    return ({"job": "send", "payload": {"to": {n} if n == index else n}} for n in range(of))


def broken() -> Iterable[dict[str, Any]]:
    yield from good_but(-1, 2_500)
    raise TypeError("the file ended early")


def exact(to: int) -> None:
    """A job with one parameter."""


def other(to: int) -> None:
    """A job with the same."""


def declare_twice() -> str:
    job(queue="mail", name="exact")(other)
    return declare(exact)()


def wrong_again(run: RunContext) -> None:
    run._notes.close(ValueError())
    run.update_metadata(page=3)


def local_time() -> str:
    with override_settings(USE_TZ=False):
        return check(queues={"mail": {}})()


def check_on(vendor: str, **options: Any) -> Told:
    """What ``manage.py check`` says of a database of this vendor."""

    def told() -> str:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(connections["default"], "vendor", vendor)
            patch.setitem(connections["default"].settings_dict, "OPTIONS", options)
            engine_for.cache_clear()
            try:
                return check(queues={"mail": {}})()
            finally:
                engine_for.cache_clear()

    return told


def make_schedule(**options: Any) -> Told:
    return call(schedule_create, "letters", queue="mail", job="send", actor="ann", **options)


def name_of_code() -> str:
    job(queue="mail", schedule="@daily")(send)
    return call(schedule_create, "mail.send", queue="mail", job="send", cron="@daily", actor="ann")()


BAD_NAMES = ["", "n" * 300, " mail", "mail ", "a b", "\U0001f389", "a\nb", "../etc/passwd", "%s", "'; DROP TABLE x; --"]


CATALOGUE: dict[str, tuple[Told, str]] = {
    "B01-nul": (value("a\0b"), "payload[\"to\"][0]: 'a\\x00b' contains NUL, which databases refuse. Remove it."),
    "B01-nul-in-a-key": (
        add({"a\0b": 1}),
        "payload: the key 'a\\x00b' contains NUL, which databases refuse. Remove it.",
    ),
    "B01-nul-in-a-name": (add(job="a\0b"), "'a\\x00b' is not a job of queue 'mail'. Known: exact, send."),
    "B02-lone-surrogate": (
        value("\ud800"),
        "payload[\"to\"][0]: '\\ud800' contains a lone surrogate, which is not Unicode. Remove it.",
    ),
    "B03-nan": (value(math.nan), 'payload["to"][0]: NaN is not JSON. Pass None, or text.'),
    "B03-infinity": (value({"x": -math.inf}), 'payload["to"][0]["x"]: -Infinity is not JSON. Pass None, or text.'),
    "B04-number-too-large": (
        value(10**200_000),
        'payload["to"][0]: an integer beyond 64 bits does not survive every database. Pass it as text.',
    ),
    "B05-integer-of-5000-digits": (
        value(10**5_000),
        'payload["to"][0]: an integer beyond 64 bits does not survive every database. Pass it as text.',
    ),
    "B05-integer-beyond-64-bits": (
        value(2**63),
        'payload["to"][0]: an integer beyond 64 bits does not survive every database. Pass it as text.',
    ),
    "B06-depth-of-100": (
        value(nested(100)),
        "nesting deeper than 30 levels. Flatten it; if it contains itself, pass a copy.",
    ),
    "B06-depth-of-100000": (
        value(nested(100_000)),
        "nesting deeper than 30 levels. Flatten it; if it contains itself, pass a copy.",
    ),
    "B07-set": (value({1}), 'payload["to"][0]: set is not JSON. Pass a sorted list.'),
    "B07-bytes": (value(b"raw"), 'payload["to"][0]: bytes is not JSON. Pass text; base64 can carry any bytes.'),
    "B07-decimal": (value(Decimal(1)), 'payload["to"][0]: Decimal is not JSON. Pass it as text: str(value).'),
    "B07-datetime": (
        value(datetime(2026, 1, 1, tzinfo=UTC)),
        'payload["to"][0]: datetime is not JSON. Pass its isoformat().',
    ),
    "B07-uuid": (value(UUID(int=1)), 'payload["to"][0]: UUID is not JSON. Pass it as text: str(value).'),
    "B07-model-instance": (
        value(Group(name="x")),
        'payload["to"][0]: Group is not JSON. Pass its .pk, and load it in the job.',
    ),
    "B07-lambda": (
        value(lambda: 1),
        'payload["to"][0]: function is not JSON. Pass text, numbers, booleans, None, lists and dicts.',
    ),
    "B07-generator": (value(n for n in range(3)), 'payload["to"][0]: generator is not JSON. Pass a list: list(value).'),
    "B08-keys-that-are-no-text": (
        value({1: "a", "1": "b"}),
        'payload["to"][0]: the key 1 is not text. JSON has text keys only.',
    ),
    "B10-circle": (value(circle()), "nesting deeper than 30 levels. Flatten it; if it contains itself, pass a copy."),
    "B11-megabyte": (
        value("x" * 1_000_000),
        "payload: takes 1000011 bytes as JSON, and 262144 are allowed. Store it elsewhere and pass its key.",
    ),
    "B11-300-megabytes": (
        value(["x" * 1_000_000] * 300),
        "payload: takes more than 1048576 bytes as JSON, and 262144 are allowed. Store it elsewhere and pass its key.",
    ),
    "B12-key-that-stands-twice": (
        call(decode_json, '{"to": 1, "to": 2}', root="body"),
        "body: the key 'to' stands twice in one mapping. Remove one.",
    ),
    "B13-naive-moment": (
        add(next_run_at=NAIVE),
        "next_run_at: datetime.datetime(2031, 1, 1, 0, 0) has no time zone. Use timezone.now(), or make_aware().",
    ),
    "B14-date": (
        add(next_run_at=date(2031, 1, 1)),
        'next_run_at: must be a datetime, ISO-8601 text with date and time, or "now", got datetime.date(2031, 1, 1).',
    ),
    "B14-text": (
        add(next_run_at="tomorrow"),
        "next_run_at: must be a datetime, ISO-8601 text with date and time, or \"now\", got 'tomorrow'.",
    ),
    "B14-number": (
        add(next_run_at=1.5),
        'next_run_at: must be a datetime, ISO-8601 text with date and time, or "now", got 1.5.',
    ),
    "B14-timedelta": (
        add(next_run_at=timedelta(1)),
        "next_run_at: must be a moment, not a timedelta. Use delay_seconds.",
    ),
    "B15-year-1": (
        add(next_run_at=datetime(1, 1, 1, tzinfo=UTC)),
        "next_run_at: datetime.datetime(1, 1, 1, 0, 0, tzinfo=datetime.timezone.utc) is more than ten years from now.",
    ),
    "B15-year-9999": (
        add(next_run_at=datetime(9999, 12, 31, tzinfo=UTC)),
        "next_run_at: datetime.datetime(9999, 12, 31, 0, 0, tzinfo=datetime.timezone.utc) is more than ten years from now.",
    ),
    "B15-year-10000": (
        add(next_run_at="10000-01-01T00:00Z"),
        "next_run_at: must be a datetime, ISO-8601 text with date and time, or \"now\", got '10000-01-01T00:00Z'.",
    ),
    "B15-infinity": (
        add(next_run_at="infinity"),
        "next_run_at: must be a datetime, ISO-8601 text with date and time, or \"now\", got 'infinity'.",
    ),
    "B16-negative-delay": (add(delay_seconds=-1), "delay_seconds: must be from 0 to ten years, got -1."),
    "B16-huge-delay": (add(delay_seconds=1e10), "delay_seconds: must be from 0 to ten years, got 10000000000.0."),
    "B16-delay-that-is-a-bool": (add(delay_seconds=True), "delay_seconds: must be a number of seconds, got True."),
    "B16-delay-that-is-text": (add(delay_seconds="5"), "delay_seconds: must be a number of seconds, got '5'."),
    "B16-delay-that-is-nan": (add(delay_seconds=math.nan), "delay_seconds: must be from 0 to ten years, got nan."),
    "B17-priority-101": (add(priority=101), "priority: must be a whole number from -100 to 100, got 101."),
    "B17-priority-beyond-64-bits": (
        add(priority=2**63),
        "priority: must be a whole number from -100 to 100, got 9223372036854775808.",
    ),
    "B17-priority-that-is-a-bool": (add(priority=True), "priority: must be a whole number from -100 to 100, got True."),
    "B17-priority-that-is-text": (
        add(priority="high"),
        "priority: must be a whole number from -100 to 100, got 'high'.",
    ),
    "B18-max-attempts-0": (add(max_attempts=0), "max_attempts: must be a whole number from 1 to 1000, got 0."),
    "B18-max-attempts-10-to-the-9": (
        add(max_attempts=10**9),
        "max_attempts: must be a whole number from 1 to 1000, got 1000000000.",
    ),
    "B18-job-with-max-attempts-0": (
        declare(max_attempts=0),
        '(jobqueue.E002) @job tests.front.conftest.send["max_attempts"]: must be a whole number from 1 to 1000, got 0',
    ),
    "B18-backoff-negative": (
        declare(backoff={"initial_seconds": -1}),
        '(jobqueue.E002) @job tests.front.conftest.send["backoff"]["initial_seconds"]: must be a number from 0 to 604800, got -1',
    ),
    "B18-backoff-nan": (
        declare(backoff={"max_seconds": math.nan}),
        '(jobqueue.E002) @job tests.front.conftest.send["backoff"]["max_seconds"]: must be a number from 0 to 604800, got nan',
    ),
    "B18-backoff-of-8-days": (
        declare(backoff={"max_seconds": 8 * 86400}),
        '(jobqueue.E002) @job tests.front.conftest.send["backoff"]["max_seconds"]: must be a number from 0 to 604800, got 691200',
    ),
    "B19-timeout-0": (declare(timeout_seconds=0), "timeout_seconds"),
    "B19-timeout-nan": (declare(timeout_seconds=math.nan), "timeout_seconds"),
    "B19-timeout-of-31-days": (declare(timeout_seconds=31 * 86400), "timeout_seconds"),
    "B20-unknown-job": (add(job="sned"), "'sned' is not a job of queue 'mail'. Did you mean 'send'?"),
    "B20-dotted-path": (add(job="os.system"), "'os.system' is not a job of queue 'mail'. Known: exact, send."),
    **{f"B21-job-named-{name!a}": (add(job=name), "is not a job of queue 'mail'. ") for name in BAD_NAMES},
    **{f"B22-queue-named-{name!a}": (call(queues.__getitem__, name), "is not a queue. ") for name in BAD_NAMES},
    "B22-queue-in-other-case": (call(queues.__getitem__, "Mail"), "'Mail' is not a queue. Did you mean 'mail'?"),
    "B22-queue-declared-so": (
        check(queues={" mail": {}}),
        "(jobqueue.E001) JOBQUEUE[\"queues\"]: ' mail' is not a valid name. Use 1 to 100 ASCII letters, digits, '_', '.', ':' and '-', beginning with a letter or '_'.",
    ),
    "B23-empty-key": (
        add(idempotency_key=""),
        "idempotency_key: must be text of 1 to 255 printable characters, got ''.",
    ),
    "B23-key-of-10-kilobytes": (
        add(idempotency_key="x" * 10_000),
        "idempotency_key: must be text of 1 to 255 printable characters, got 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx....",
    ),
    "B23-key-with-nul": (
        add(idempotency_key="a\0b"),
        "idempotency_key: must be text of 1 to 255 printable characters, got 'a\\x00b'.",
    ),
    "B25-two-functions-of-one-name": (
        declare_twice,
        "(jobqueue.E002) Job 'exact' of queue 'mail' is bound to two functions: ",
    ),
    "B26-missing-argument": (add({}, "exact"), "payload: does not fit exact(). 'to' is missing."),
    "B26-unexpected-argument": (
        add({"to": 1, "form": 2}, "exact"),
        "payload: does not fit exact(). 'form' is not a parameter. Known: to.",
    ),
    "B28-one-bad-of-10000": (
        bulk(lambda: good_but(9_998, 10_000)),
        'item 9998: payload["to"]: set is not JSON. Pass a sorted list.',
    ),
    "B29-generator-that-raises-midway": (bulk(broken), "the file ended early"),
    "B30-unknown-key": (check(queue={}), "(jobqueue.E001) JOBQUEUE: unknown option 'queue'. Did you mean 'queues'?"),
    "B30-wrong-type": (check(queues=[]), '(jobqueue.E001) JOBQUEUE["queues"]: must be a mapping, got []'),
    "B30-unknown-option": (
        check(queues={"mail": {"concurent_jobs": 1}}),
        "(jobqueue.E001) JOBQUEUE[\"queues\"][\"mail\"]: unknown option 'concurent_jobs'. Did you mean 'concurrent_jobs'?",
    ),
    "B30-unknown-executor": (declare(executor="fibre"), "executor"),
    "B30-lease-too-short": (
        check(worker={"lease_seconds": 0}),
        '(jobqueue.E001) JOBQUEUE["worker"]["lease_seconds"]: must be a number from 1 to 86400, got 0',
    ),
    "B30-negative-concurrency": (
        check(worker={"concurrency": -1}),
        '(jobqueue.E001) JOBQUEUE["worker"]["concurrency"]: must be a whole number from 1 to 1000, got -1',
    ),
    "B30-unknown-database": (
        check(database="defualt"),
        "(jobqueue.E001) JOBQUEUE[\"database\"]: 'defualt' is not an alias of DATABASES. Did you mean 'default'?",
    ),
    "B31-local-time": (
        local_time,
        "(jobqueue.W002) USE_TZ is False: in the hour that clocks repeat in autumn, next_run_at can mean",
    ),
    "B31-sqlite-for-one-process": (
        check_on("sqlite"),
        "(jobqueue.W001) Database 'default' is SQLite without WAL: readers and writers keep each other waiting",
    ),
    "B31-unknown-engine": (check_on("oracle"), "(jobqueue.E003) Database 'default' is oracle; runs can be kept in "),
    "B32-minute-61": (
        make_schedule(cron="61 * * * *"),
        "letters[\"cron\"]: '61' in the field 'minute' is not from 0 to 59.",
    ),
    "B32-empty": (make_schedule(cron=""), "does not have five fields"),
    "B32-four-fields": (make_schedule(cron="* * * *"), "does not have five fields"),
    "B32-seven-fields": (make_schedule(cron="0 0 2 * * * *"), "does not have five fields"),
    "B32-step-0": (make_schedule(cron="*/0 * * * *"), "has a step that is not from 1 to 59"),
    "B32-step-70": (make_schedule(cron="*/70 * * * *"), "has a step that is not from 1 to 59"),
    "B32-wrapped-range": (make_schedule(cron="0 22-2 * * *"), "runs backwards. Write 22-23,0-2"),
    "B32-reboot": (make_schedule(cron="@reboot"), "Known: @annually, @daily"),
    "B32-never": (make_schedule(cron="30 2 30 2 *"), "is never due: no month that it names has 30 days"),
    "B32-last-day": (make_schedule(cron="0 0 L * *"), "in the field 'day of month' is not valid"),
    "B32-nth-day": (make_schedule(cron="0 0 * * fri#1"), "in the field 'day of week' is not valid"),
    "B32-other-digits": (make_schedule(cron="\u0663\u0660 * * * *"), "has characters that are not ASCII"),
    "B32-huge": (make_schedule(cron="* " * 5_000), "is longer than 200 characters"),
    "B33-every-second": (make_schedule(cron="* * * * * *"), "For seconds, use every_seconds"),
    "B33-faster": (make_schedule(every_seconds=0.5), 'letters["every_seconds"]: must be a number from 1 to'),
    "B34-mars": (make_schedule(cron="@daily", timezone="Mars/Base"), "'Mars/Base' is not a time zone"),
    "B34-blank": (make_schedule(cron="@daily", timezone="CET "), "Did you mean 'CET'?"),
    "B34-path": (make_schedule(cron="@daily", timezone="../../etc/passwd"), "is not a time zone"),
    "B34-offset": (make_schedule(cron="@daily", timezone="+02:00"), "'+02:00' is not a time zone"),
    "B35-end-before-start": (
        make_schedule(cron="@daily", starts_at="2031-01-02T00:00Z", ends_at="2031-01-01T00:00Z"),
        "is before starts_at",
    ),
    "B35-interval-0": (make_schedule(every_seconds=0), 'letters["every_seconds"]: must be a number from 1 to'),
    "B35-name-of-code": (name_of_code, "'mail.send' is a schedule of code or settings already. Choose another name."),
    "B54-empty-queue": (command("runjobs", ""), "'' is not a queue. Known: default, mail."),
    "B54-unknown-queue": (command("runjobs", "mial"), "'mial' is not a queue. Did you mean 'mail'?"),
    "B54-concurrency-0": (
        command("runjobs", "--concurrency=0"),
        "Error: argument --concurrency: must be a whole number from 1 to 1000, got '0'.",
    ),
    "B54-concurrency-that-is-no-number": (
        command("runjobs", "--concurrency=x"),
        "Error: argument --concurrency: must be a whole number from 1 to 1000, got 'x'.",
    ),
    "B54-processes-10-to-the-6": (
        command("runjobs", "--processes=1000000"),
        "Error: argument --processes: must be a whole number from 1 to 1000, got '1000000'.",
    ),
    "B54-a-server-is-never-done": (
        command("runjobs", "--drain", "--with-runserver"),
        "Error: argument --with-runserver: not allowed with argument --drain",
    ),
    "B54-more-slots-than-a-process-has": (
        command("runjobs", "mail:9", "--concurrency=4"),
        "mail:9 is more than the slots of a process: --concurrency is 4.",
    ),
    "B54-queue-that-is-given-twice": (
        command("runjobs", "mail:1", "mail:2"),
        "Queue 'mail' is given twice, as mail:1 and as mail:2: give it once.",
    ),
    "B54-pause-with-two-ends": (
        command("pausequeue", "mail", "--for=5m", "--until=2099-01-01T00:00"),
        "Error: argument --until: not allowed with argument --for",
    ),
    "B54-runs-named-twice-over": (
        command("canceljobs", "7", "--queue=mail"),
        "Give either the ids of runs, or options that select runs, such as --state or --queue.",
    ),
    "B55-malformed-id": (call(get, "7; DROP TABLE"), "There is no run '7; DROP TABLE'."),
    "B55-negative-id": (call(cancel, -1, actor="ada"), "There is no run -1."),
    "B55-id-beyond-64-bits": (call(replay, 2**63, actor="ada"), "There is no run 9223372036854775808."),
    "B55-id-of-another-type": (call(get, None), "There is no run None."),
    "B56-progress-nan": (
        say(lambda run: run.progress(math.nan)),
        "progress: done must be a number from 0 to 2**63, got nan.",
    ),
    "B56-progress-huge": (
        say(lambda run: run.progress(2**64)),
        "progress: done must be a number from 0 to 2**63, got 18446744073709551616.",
    ),
    "B56-metadata-huge": (
        say(lambda run: run.update_metadata(page="x" * 300_000)),
        "metadata: takes 300011 bytes as JSON, and 262144 are allowed. Store it elsewhere and pass its key.",
    ),
    "B56-metadata-nul": (
        say(lambda run: run.update_metadata(page="\0")),
        "metadata[\"page\"]: '\\x00' contains NUL, which databases refuse. Remove it.",
    ),
    "B56-after-the-end": (
        say(wrong_again),
        "run.update_metadata: attempt 1 of run 1 has ended, so this changes nothing.",
    ),
}


@pytest.mark.parametrize(("told", "words"), CATALOGUE.values(), ids=CATALOGUE)
def test_a_bad_input_is_told_in_words_that_help_and_leaves_no_row(mail: Queue, told: Told, words: str) -> None:
    job(queue="mail")(exact)
    assert words in told()

    assert not Run.objects.exists()
    assert not IdempotencyKey.objects.exists()
    assert not Schedule.objects.exists()


def test_b09_a_tuple_comes_back_as_a_list_at_once(mail: Queue) -> None:
    run = mail.add("send", {"to": (1, (2,))})

    assert run.payload == Run.objects.get().payload == {"to": [1, [2]]}


def test_b24_an_idempotency_key_with_other_arguments_names_the_first_run(mail: Queue) -> None:
    first = mail.add("send", {"to": 1}, idempotency_key="a")

    with pytest.raises(IdempotencyConflict, match=f"The idempotency_key made run {first.pk}, .* from other arguments."):
        mail.add("send", {"to": 2}, idempotency_key="a")
    assert Run.objects.get() == first


def test_b27_a_transaction_that_had_failed_before_is_told_with_what_that_means(mail: Queue) -> None:
    with transaction.atomic():
        transaction.set_rollback(True)
        with pytest.raises(TransactionManagementError) as caught:
            mail.add("send")

    [hint] = caught.value.__notes__
    assert hint.startswith("No run was added: the transaction in which it was to be added had failed before. Let that")
    assert not Run.objects.exists()
