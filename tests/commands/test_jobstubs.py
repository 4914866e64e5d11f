"""``jobstubs``: a type checker knows queues, jobs and payloads, and finds what cannot work."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from textwrap import dedent

import pytest
from django.core.management import CommandError
from pytest_django import Settings

import django_jobqueue
from django_jobqueue import job
from django_jobqueue.errors import ConfigError
from django_jobqueue.queue import Queue
from tests.commands.conftest import command, send
from tests.front.conftest import WriteModule
from tests.typing.checker import mypy
from tests.typing.test_typing import expected, said


@pytest.fixture
def path(tmp_path: Path, mail: Queue) -> Path:
    return tmp_path / "queues.py"


def test_the_module_is_written(path: Path) -> None:
    told = command("jobstubs", "--output", str(path))

    assert told.out == f"{path} was written.\n"
    assert 'job: Literal["send"]' in path.read_text()


def test_at_run_time_it_is_our_own_queues(path: Path) -> None:
    command("jobstubs", "--output", str(path))

    assert runpy.run_path(str(path))["queues"] is django_jobqueue.queues


def test_what_has_not_changed_is_not_written_again(path: Path) -> None:
    command("jobstubs", "--output", str(path))
    path.chmod(0o444)
    before = written(path)

    told = command("jobstubs", "--output", str(path))

    assert told.out == f"{path} is up to date.\n"
    assert written(path) == before


def written(path: Path) -> tuple[int, int]:
    """When that was, and which file it made. Who only reads it may change the rest of what the system knows of it."""
    found = path.stat()
    return found.st_mtime_ns, found.st_ino


def test_the_order_of_declarations_does_not_matter(path: Path, settings: Settings) -> None:
    settings.JOBQUEUE = {"queues": {"b": {}, "a": {}}}
    job(queue="b", name="x")(send)
    job(queue="b", name="y")(send)
    command("jobstubs", "--output", str(path))

    settings.JOBQUEUE = {"queues": {"a": {}, "b": {"jobs": {"y": {}, "x": {}}}}}

    assert command("jobstubs", "--check", "--output", str(path)).out == f"{path} is up to date.\n"


def test_check_fails_where_the_module_is_missing_or_old(path: Path) -> None:
    refused = re.escape(f"{path} is out of date. Run: manage.py jobstubs")

    with pytest.raises(CommandError, match=refused) as caught:
        command("jobstubs", "--check", "--output", str(path))

    assert caught.value.returncode == 1
    assert not path.exists()
    command("jobstubs", "--output", str(path))
    job(queue="mail")(receive)
    with pytest.raises(CommandError, match=refused):
        command("jobstubs", "--check", "--output", str(path))


def test_a_file_of_somebody_else_is_left_alone(path: Path) -> None:
    path.write_text("queues = []\n")

    with pytest.raises(CommandError, match="was not written by jobstubs, and is left alone"):
        command("jobstubs", "--output", str(path))

    assert path.read_text() == "queues = []\n"


def test_a_folder_that_does_not_exist_is_told(path: Path) -> None:
    with pytest.raises(CommandError, match="No such file or directory"):
        command("jobstubs", "--output", str(path / "queues.py"))


def test_a_job_that_cannot_work_is_told(path: Path) -> None:
    @job(queue="mail")
    def broken(*letters: str) -> None:
        pass

    with pytest.raises(CommandError) as caught:
        command("jobstubs", "--output", str(path))

    assert isinstance(caught.value.__cause__, ConfigError)
    assert "broken" in str(caught.value)


@pytest.mark.parametrize(("urls", "folder"), [("jobstubs_site.of.urls", "jobstubs_site/of"), ("jobstubs_urls", "")])
def test_by_default_it_lies_beside_the_urls_of_the_project(
    urls: str, folder: str, write_module: WriteModule, settings: Settings, tmp_path: Path, mail: Queue
) -> None:
    settings.ROOT_URLCONF = urls
    write_module(urls, "")

    told = command("jobstubs")

    assert told.out == f"{tmp_path / folder / 'queues.py'} was written.\n"


def test_a_project_without_urls_and_a_module_of_settings_must_say_where(settings: Settings, mail: Queue) -> None:
    settings.ROOT_URLCONF = None

    with pytest.raises(CommandError, match="Say where with --output"):
        command("jobstubs")


def receive() -> None:
    """Receive letters."""


JOBS = """
    # mypy: ignore-errors
    from __future__ import annotations

    import datetime
    import decimal
    import enum
    import pathlib
    import uuid
    from collections.abc import Mapping, Sequence
    from dataclasses import dataclass
    from typing import Annotated, Any, Generic, List, Literal, NewType, Optional, TypedDict, TypeVar, Union

    from django_jobqueue import RunContext, job

    T = TypeVar("T")
    OrderId = NewType("OrderId", int)


    class Colour(enum.Enum):
        RED = "red"
        BLUE = "blue"


    class Outer:
        class Inner(TypedDict):
            x: int


    class Box(Generic[T]):
        pass


    @dataclass
    class Order:
        number: int


    @job(queue="mail")
    def send(to: str, subject: str = "", *, run: RunContext) -> None: ...

    @job(queue="mail")
    async def sweep(days: int = 30) -> None: ...

    @job(queue="mail")
    def ring() -> None: ...

    @job(queue="mail", name="whole-order")
    def whole(payload: Order) -> None: ...

    @job(queue="mail", payload_schema="jobstubs_jobs.Order")
    def declared(number, note=""): ...

    @job(queue="mail")
    def whole_dict(payload: Outer.Inner) -> None: ...

    @job(queue="mail")
    def whole_mapping(payload) -> None: ...

    @job(queue="mail")
    def anything(to: str, **more: object) -> None: ...

    @job(queue="rules", preflight={"on_before_add": "jobstubs_jobs.rule"})
    def vetoed() -> None: ...

    @job(queue="rules")
    def free() -> None: ...

    def rule(new): ...

    @job(queue="types")
    def take(
        datetime: datetime.datetime,
        day: Optional[datetime.date],
        path: pathlib.Path,
        number: Union[uuid.UUID, decimal.Decimal, None],
        colour: Colour,
        word: Literal["a", 1, None, Colour.RED],
        order_id: OrderId,
        inner: Outer.Inner,
        rows: List[dict[str, Sequence[int]]],
        pair: tuple[int, ...],
        noted: Annotated[int, "a note"],
        bare: list,
        untyped,
        quoted: "int" = 5,
        any_: Any = None,
        box: Box[int] = None,
        generic: T = None,
    ) -> None: ...
"""

# A comment is what mypy says of its line: a type, or the code of an error. Of the other lines it says nothing.
USES = """
    import datetime
    import decimal
    import pathlib

    from jobstubs_jobs import Box, Colour, Order, OrderId
    from jobstubs_queues import queues

    from django_jobqueue.queue import Queue

    now = datetime.datetime.now()
    dynamic: str = input()


    def right() -> None:
        reveal_type(queues.mail.add("send", {"to": "ann"}))  # Run
        reveal_type(queues.mail.add(job="send", payload={"to": "ann", "subject": "x"}, priority=5, tags=["a"]))  # Run
        reveal_type(queues.mail.add("sweep"))  # Run
        reveal_type(queues.mail.add("sweep", {"days": 3}, next_run_at=now))  # Run
        reveal_type(queues.mail.add("ring", {}))  # Run
        reveal_type(queues.rules.add("vetoed"))  # Run | None
        reveal_type(queues.rules.add("free"))  # Run
        reveal_type(queues.rules.bulk_add([{"job": "free"}]))  # list[int | None]
        queues.mail.add("whole-order", Order(number=7))
        queues.mail.add("whole-order", {"number": 7})
        queues.mail.add("declared", Order(number=7))
        queues.mail.add("whole_dict", {"x": 7})
        queues.mail.add("whole_mapping", {"whatever": now})
        queues.mail.add("anything", {"to": "ann", "whatever": now})
        reveal_type(queues.reports.add(dynamic, {"whatever": now}, tags=["a"]))  # Run
        reveal_type(queues.reports.bulk_add([{"job": dynamic, "payload": {"month": 5}}]))  # list[int]
        reveal_type(queues["mail"])  # MailQueue
        reveal_type(queues["high-priority"].name)  # str
        reveal_type(queues.mail.runs("failed").retrying())  # RunQuerySet
        reveal_type([queue.name for queue in queues])  # list[str]
        reveal_type("mail" in queues and len(queues))  # int
        queues.mail.bulk_add([{"job": "send", "payload": {"to": "ann"}}, {"job": "ring", "priority": 5}])
        reveal_type(queues.mail.bulk_add({"job": "sweep", "payload": {"days": n}} for n in range(9)))  # list[int]
        anybody: Queue = queues.mail
        anybody.add(dynamic)
        queues.types.add(
            "take",
            {
                "datetime": now,
                "day": None,
                "path": pathlib.Path(),
                "number": decimal.Decimal(1),
                "colour": Colour.BLUE,
                "word": Colour.RED,
                "order_id": OrderId(1),
                "inner": {"x": 1},
                "rows": [{"a": [1]}],
                "pair": (1, 2, 3),
                "noted": 1,
                "bare": [1, "a"],
                "untyped": object(),
                "box": Box(),
                "generic": object(),
            },
        )


    async def right_as_well() -> None:
        reveal_type(await queues.mail.aadd("send", {"to": "ann"}))  # Run
        reveal_type(await queues.mail.abulk_add([{"job": "ring"}]))  # list[int]
        reveal_type(await queues.rules.aadd("vetoed"))  # Run | None


    def wrong() -> None:
        queues.mial  # [attr-defined]
        queues["mial"]  # [call-overload]
        queues.default.add("send", {"to": "ann"})  # [arg-type]
        queues.mail.add("sned", {"to": "ann"})  # [call-overload]
        queues.mail.add(dynamic, {"to": "ann"})  # [call-overload]
        queues.mail.add("send")  # [call-overload]
        queues.mail.add("send", {})  # [call-overload]
        queues.mail.add("send", {"too": "ann"})  # [call-overload]
        queues.mail.add("send", {"to": "ann", "run": None})  # [call-overload]
        queues.mail.add("send", {"to": 7})  # [call-overload]
        queues.mail.add("send", {"to": "ann"}, prioriti=5)  # [call-overload]
        queues.mail.add("send", {"to": "ann"}, priority="high")  # [call-overload]
        queues.mail.add("sweep", {"days": "3"})  # [call-overload]
        queues.mail.add("whole-order", 7)  # [call-overload]
        queues.mail.add("declared", 7)  # [call-overload]
        queues.mail.bulk_add([{"job": "sned"}])  # [list-item]
        queues.types.add("take", {"datetime": "now"})  # [typeddict-item]
        queues.reports.add(7)  # [arg-type]
        queues.reports.add("monthly", priority="high")  # [arg-type]


    async def wrong_as_well() -> None:
        await queues.mail.aadd("send", {"to": 7})  # [call-overload]
"""


@pytest.fixture
def sample(write_module: WriteModule, settings: Settings, tmp_path: Path) -> Path:
    """A folder with jobs, the module that is written of them, and its uses."""
    settings.JOBQUEUE = {
        "queues": {
            "mail": {},
            "rules": {},
            "types": {},
            "high-priority": {},
            "class": {},
            "reports": {"external": True},
        }
    }
    write_module("jobstubs_jobs", JOBS)
    __import__("jobstubs_jobs")
    command("jobstubs", "--output", str(tmp_path / "jobstubs_queues.py"))
    (tmp_path / "uses.py").write_text(dedent(USES))
    return tmp_path


def test_types_are_written_as_they_are_declared(sample: Path) -> None:
    source = (sample / "jobstubs_queues.py").read_text()

    [fields] = re.findall(r'TypedDict\("TypesTakePayload", \{\n(.*?)\}\)', source, re.DOTALL)
    assert [line.strip().rstrip(",") for line in fields.splitlines() if line.strip()] == [
        '"datetime": datetime.datetime',
        '"day": datetime.date | None',
        '"path": pathlib.Path',
        '"number": uuid.UUID | decimal.Decimal | None',
        '"colour": jobstubs_jobs.Colour',
        "\"word\": Literal['a', 1, None, jobstubs_jobs.Colour.RED]",
        '"order_id": jobstubs_jobs.OrderId',
        '"inner": jobstubs_jobs.Outer.Inner',
        '"rows": list[dict[str, collections.abc.Sequence[int]]]',
        '"pair": tuple[int, ...]',
        '"noted": int',
        '"bare": list',
        '"untyped": Any',
        '"quoted": NotRequired[int]',
        '"any_": NotRequired[Any]',
        '"box": NotRequired[jobstubs_jobs.Box[int]]',
        '"generic": NotRequired[Any]',
    ]


def test_names_that_are_no_identifiers_stay_apart(settings: Settings, path: Path) -> None:
    settings.JOBQUEUE = {"queues": {"a-b": {}, "a_b": {}, "aB": {}}}

    command("jobstubs", "--output", str(path))

    classes = re.findall(r"class (\w+)\(Queue\)", path.read_text())
    assert len(set(classes)) == len(classes) == 4
    assert "a_b: AB" in path.read_text()
    assert "a-b: AB" not in path.read_text()


@pytest.mark.slow
@pytest.mark.sqlite  # no database is asked
def test_mypy_knows_queues_jobs_and_payloads_and_finds_the_mistakes(sample: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is not among what the tests need")

    done = mypy("jobstubs_queues.py", "uses.py", folder=sample)

    assert said(done.stdout) == expected(dedent(USES)), done.stderr
    assert "jobstubs_queues.py" not in done.stdout
