"""A type checker knows what ``@job`` and ``queues`` give back, and finds what cannot work."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

import pytest

from tests.typing.checker import mypy

pytest.importorskip("mypy", reason="mypy is not among what the tests need")

pytestmark = [pytest.mark.slow, pytest.mark.sqlite]  # no database is asked

MESSAGE = re.compile(r'^\S+:(\d+): (?:note: Revealed type is "(.*)"|error: .*  (\[[a-z-]+\]))$', re.MULTILINE)

# A comment is what mypy says of its line: a type, or the code of an error. Of the other lines it says nothing.
SAMPLE = """
    from dataclasses import dataclass
    from datetime import datetime

    from pydantic import BaseModel

    from django_jobqueue import Cancel, Fail, Retry, RunContext, Snooze, job, queues


    @job
    def bare(name: str) -> int:
        return len(name)


    @job(queue="mail", name="dig", max_attempts=5, backoff={"mode": "fixed"})
    def digest(reader: str, *, limit: int = 10, run: RunContext) -> str:
        if run.attempt > 2:
            raise Fail("no use")
        if not run.payload:
            raise Cancel
        if limit:
            raise Snooze(delay_seconds=60)
        raise Retry(at=datetime.now())


    @job(queue="mail")
    async def fetch(url: str) -> bytes:
        return url.encode()


    @dataclass
    class Order:
        number: int


    class Letter(BaseModel):
        to: str


    @job
    def ship(payload: Order) -> None: ...


    def sync(context: RunContext) -> None:
        reveal_type(ship.add(Order(5)))  # Run | Any
        reveal_type(ship.add({"number": 5}))  # Run | Any
        reveal_type(queues.mail.add("ship", Letter(to="a")))  # Run | Any
        reveal_type(bare)  # Job[[name: str], int]
        reveal_type(digest)  # Job[[reader: str, *, limit: int =, run: RunContext], str]
        reveal_type(bare("a"))  # int
        reveal_type(digest("a", limit=5, run=context))  # str
        reveal_type(bare.add())  # Run | Any
        reveal_type(digest.add({"reader": "r"}, priority=5, delay_seconds=1.5, next_run_at="now"))  # Run | Any
        reveal_type(queues)  # Queues
        reveal_type(queues.mail)  # Queue
        reveal_type(queues["mail"])  # Queue
        reveal_type(queues.mail.add("dig", {"reader": "r"}))  # Run | Any
        reveal_type(queues.mail.add(job="dig", payload=None, next_run_at=datetime.now()).pk)  # int | Any
        reveal_type(queues.mail.bulk_add([{"job": "dig"}, {"job": "dig", "priority": 5}]))  # list[int | Any]
        reveal_type([queue.name for queue in queues])  # list[str]
        reveal_type(queues.mail.runs("pending").retrying())  # RunQuerySet
        reveal_type(context.metadata)  # Mapping[str, Any]


    async def not_sync() -> None:
        reveal_type(await fetch("a"))  # bytes
        reveal_type(await fetch.aadd({"url": "a"}, priority=5))  # Run | Any
        reveal_type(await queues.mail.aadd("fetch", {"url": "a"}, priority=5))  # Run | Any
        reveal_type(await queues.mail.abulk_add([{"job": "fetch"}]))  # list[int | Any]


    def wrong(context: RunContext) -> None:
        bare(5)  # [arg-type]
        bare()  # [call-arg]
        digest("a", limit="5", run=context)  # [arg-type]
        bare.add(5)  # [arg-type]
        bare.add(prioriti=5)  # [call-arg]
        bare.add(priority="high")  # [arg-type]
        bare.add(["a"])  # [arg-type]
        queues.mail.add("dig", {}, None)  # [call-arg]
        queues.mail.add(bare)  # [arg-type]
        queues.mail.add("dig", prioriti=5)  # [call-arg]
        queues.mail.add("dig", delay_seconds="60")  # [arg-type]
        queues.mail.bulk_add([5])  # [list-item]
        job("mail")  # [call-overload]
        queues.mail.add("dig", tags="urgent")  # [arg-type]
        queues.mail.add("dig").priotity  # [union-attr]
        context.attempt = 5  # [misc]


    async def wrong_as_well() -> None:
        await fetch.aadd(prioriti=5)  # [call-arg]
        await queues.mail.aadd("fetch", prioriti=5)  # [call-arg]
"""


def expected(sample: str) -> dict[int, str]:
    """What the comments say, by the number of the line."""
    numbered = enumerate(sample.splitlines(), start=1)
    return {number: line.partition("  # ")[2] for number, line in numbered if "  # " in line}


def said(output: str) -> dict[int, str]:
    """What mypy says, by the number of the line: the type without its modules, or the code of the error."""
    found = {}
    for number, revealed, code in MESSAGE.findall(output):
        found[int(number)] = code or re.sub(r"(?:\w+\.)+(?=\w)", "", revealed)
    return found


def test_mypy_knows_the_types_and_finds_the_mistakes(tmp_path: Path) -> None:
    sample = dedent(SAMPLE)
    path = tmp_path / "sample.py"
    path.write_text(sample)

    done = mypy(path)

    assert done.returncode == 1, done.stdout + done.stderr
    assert said(done.stdout) == expected(sample)
