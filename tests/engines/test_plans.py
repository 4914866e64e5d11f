"""No statement looks through the history: each finds its rows by an index, with good statistics or none."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, TypeAlias

import pytest
from django.db import connection, transaction
from django.utils import timezone

from django_jobqueue.conf import Cleanup
from django_jobqueue.engines.base import Engine, Note, Placing, Ref, Room
from django_jobqueue.limits import Limit
from django_jobqueue.models import Run
from django_jobqueue.operations.expiring import expire_some
from django_jobqueue.operations.purging import Walk
from django_jobqueue.states import State
from tests.engines.endings import completed, given_up, reap

# On MySQL the index is in the statement; see ``test_mysql.py``.
pytestmark = [pytest.mark.slow, pytest.mark.postgresql, pytest.mark.sqlite, pytest.mark.usefixtures("new_table")]

Call: TypeAlias = Callable[[], object]
Statement: TypeAlias = "tuple[str, dict[str, Any], bool]"
"""With its values, and whether its plan is kept for others."""
Plan: TypeAlias = "dict[str, Any]"

KEY = Limit("key", "", "1")

FILL = """
    WITH RECURSIVE counter (n) AS (
        SELECT 1
     UNION ALL
        SELECT n + 1
          FROM counter
         WHERE n < %(count)s
    )
    INSERT INTO jobqueue_run (
           namespace, queue, job, version, payload, state, reason, priority, run_at, created_at, started_at,
           finished_at, lease_until, worker, attempt, failures, crashes, snoozes, releases, delivery,
           concurrency_key, blocked_on)
    SELECT 'default', 'mail', 'send', 1, '{"to": "somebody"}', %(state)s, %(reason)s, n %% 5, %(at)s, %(at)s, %(at)s,
           %(finished_at)s, %(lease_until)s, 'worker-a', 1, 0, 0, 0, 0, 'at_least_once',
           CASE WHEN n %% 2 = 0 THEN %(key)s END, %(blocked_on)s
      FROM counter
"""


@pytest.fixture
def new_table(db: None) -> None:
    """Work in a new table: what PostgreSQL keeps of rolled back rows would slow down all tests that follow."""
    if connection.vendor == "postgresql":
        execute("TRUNCATE jobqueue_run")
        execute("SET jobqueue.room = 10")  # what the count tells the claim behind it


def execute(sql: str, parameters: dict[str, Any] | None = None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)


def fill(engine: Engine, state: State, count: int, *, hours: int, line: Limit | None = None) -> None:
    """Add many runs in one state, all for a time so many hours from now, in sight or in a line."""
    at = engine.timestamps()(timezone.now() + timedelta(hours=hours))
    times = {"at": at, "finished_at": None, "lease_until": None, "reason": None}
    times |= {"key": str(hours), "blocked_on": None if line is None else str(line)}
    if state == State.COMPLETED:
        times |= {"finished_at": at, "reason": "returned"}
    if state == State.RUNNING:
        times |= {"lease_until": at}
    execute(FILL, {"state": state.value, "count": count} | times)


def fill_all(engine: Engine, history: int) -> None:
    for part in range(10):
        fill(engine, State.COMPLETED, history // 10, hours=-100 - part)
        fill(engine, State.PENDING, 500, hours=-1 - part)
        fill(engine, State.PENDING, 500, hours=1 + part)
        fill(engine, State.RUNNING, 20, hours=part - 2)
        fill(engine, State.PENDING, 300, hours=-1 - part, line=Limit("key", "", str(part)))
        fill(engine, State.PENDING, 30, hours=-1 - part, line=Limit("job", "send"))


def never_counted(engine: Engine) -> None:
    fill_all(engine, 50_000)


def counted_when_new(engine: Engine) -> None:
    execute("ANALYZE")
    fill_all(engine, 50_000)


def counted_when_purged(engine: Engine) -> None:
    fill_all(engine, 50_000)
    execute("DELETE FROM jobqueue_run")
    execute("ANALYZE")
    fill_all(engine, 50_000)


def counted_when_full(engine: Engine) -> None:
    fill_all(engine, 50_000)
    execute("ANALYZE")


def calls(engine: Engine) -> dict[str, Call]:
    """All that a worker does to the table of runs."""
    running = Run.objects.in_state(State.RUNNING).values_list("id", "attempt")
    refs = [Ref(*row) for row in running]
    ended = list(Run.objects.in_state(State.COMPLETED).values_list("id", flat=True)[:500])
    pending = list(Run.objects.due().values_list("id", flat=True)[:10])
    how: dict[str, Any] = {"worker": "worker-b", "lease_seconds": 30}
    return {
        "claim": lambda: engine.claim("default", "mail", limit=10, **how),
        "claim many": lambda: engine.claim("default", "mail", limit=500, **how),
        "claim and count": lambda: engine.claim_counted("default", "mail", room=Room(10_000, 1), **how),
        "claim by ids": lambda: engine.take(pending, **how),
        "count what is running": lambda: engine.running("default", ["mail", "digest"]),
        "look who is next": lambda: engine.candidates("default", "mail", limit=10),
        "look who is next but them": lambda: engine.candidates(
            "default", "mail", limit=10, held=[Limit("job", "x"), KEY]
        ),
        "look who is first in line": lambda: engine.front("default", "mail", {KEY: 5, Limit("job", "send"): 5}),
        "look whose turn it is": lambda: engine.heads("default", "mail", [KEY, Limit("key", "send", "2")], ["send"]),
        "look where they are parked": lambda: engine.parked(pending),
        "park": lambda: engine.place([Placing(run_id, str(KEY)) for run_id in pending]),
        "list the lines": lambda: engine.lines("default", {"mail": "", "digest": "key:"}, limit=10),
        "renew": lambda: engine.renew([(ref, 30.0) for ref in refs]),
        "settle": lambda: engine.settle([completed(ref) for ref in refs]),
        "settle and delete": lambda: engine.settle([completed(ref, delete=True) for ref in refs]),
        "note": lambda: engine.note([Note(*ref, progress="1") for ref in refs]),
        "settle one": lambda: engine.settle([completed(refs[0])]),
        "release": lambda: engine.release(refs),
        "reap": lambda: reap(engine, "default", given_up),
        "look for what is over": lambda: Walk({"mail": Cleanup()}).step(),
        "purge": lambda: engine.purge(ended),
        "expire": expire_some,
        "next due": lambda: engine.next_due("default", ["mail", "digest"]),
    }


def undone(call: Call) -> None:
    with transaction.atomic():
        call()
        transaction.set_rollback(True)


def statements(call: Call) -> list[Statement]:
    """What *call* asks of the table of runs."""
    asked: list[Statement] = []

    def record(execute: Callable, sql: str, parameters: dict[str, Any], many: bool, context: dict[str, Any]) -> Any:
        if "jobqueue_run" in sql:
            asked.append((sql, parameters, is_prepared(context["cursor"])))
        return execute(sql, parameters, many, context)

    with connection.execute_wrapper(record):
        undone(call)
    assert asked
    return asked


def is_prepared(cursor: Any) -> bool:
    """Whether *cursor* sends statements and values apart, so that one plan must do for all values."""
    if connection.vendor != "postgresql":
        return False
    from django.db.backends.postgresql.base import ServerBindingCursor

    return isinstance(cursor.cursor, ServerBindingCursor)


def explained(statement: Statement, how: str) -> list[Any]:
    sql, parameters, prepared = statement
    if prepared:
        sql = prepare(sql)
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {how} {sql}", parameters)
        answer = cursor.fetchall()
    if prepared:
        execute("DEALLOCATE statement")
    return answer


def prepare(sql: str) -> str:
    """Prepare a statement as a session does that keeps plans, and return how it is said with values."""
    names = list(dict.fromkeys(VALUE.findall(sql)))
    execute(f"PREPARE statement AS {VALUE.sub(lambda value: f'${names.index(value[1]) + 1}', sql)}", {})
    values = ", ".join(f"%({name})s" for name in names)
    return f"EXECUTE statement ({values})"


VALUE = re.compile(r"%\((\w+)\)s")


def slow_parts(statement: Statement) -> list[str]:
    """What, of the plan of a statement, takes longer the longer the table is."""
    if connection.vendor == "sqlite":
        details = [detail for _id, _parent, _unused, detail in explained(statement, "QUERY PLAN")]
        return [detail for detail in details if detail.startswith(("SCAN", "USE TEMP")) and not SHORT.match(detail)]
    [[[plan]]] = explained(statement, "(FORMAT JSON)")
    return [node["Node Type"] for node in nodes(plan["Plan"]) if grows(node)]


SHORT = re.compile(
    r"SCAN (\d* ?CONSTANT ROWS?|level|line|held|own|wanted|\(subquery-\d+\)|\w+ VIRTUAL TABLE .*)$"
    r"|USE TEMP B-TREE FOR GROUP BY$"
)
"""What SQLite may go through: the batch, the priorities, the lines, what was found already, what is running."""


def grows(node: Plan) -> bool:
    if "Sort" in node["Node Type"]:
        return any(part.get("Relation Name") == "jobqueue_run" and not is_short(part) for part in nodes(node))
    if "Index" in node["Node Type"]:
        return "Index Cond" not in node
    return node["Node Type"] == "Seq Scan" and node["Relation Name"] == "jobqueue_run"


def is_short(node: Plan) -> bool:
    """There are never more running runs than slots."""
    return node.get("Index Name") == "jobqueue_run_running"


def nodes(plan: Plan) -> Iterator[Plan]:
    yield plan
    for part in plan.get("Plans", []):
        yield from nodes(part)


def work(call: Call) -> int:
    """How much a database does for *call*: PostgreSQL's pages, SQLite's steps."""
    if connection.vendor == "postgresql":
        pages = 0
        for statement in statements(call):
            with transaction.atomic():
                [[[plan]]] = explained(statement, "(ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON)")
                transaction.set_rollback(True)
            pages += plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]
        return pages
    steps: list[None] = []
    connection.connection.set_progress_handler(lambda: steps.append(None), 1)
    undone(call)
    connection.connection.set_progress_handler(None, 1)
    return len(steps)


@pytest.fixture
def _planned_once(new_table: None, engine: Engine) -> Iterator[None]:
    if connection.vendor != "postgresql":
        pytest.skip("only PostgreSQL keeps plans")
    engine.plan_once()
    yield
    connection.close()


@pytest.mark.parametrize("filled", [never_counted, counted_when_new, counted_when_purged, counted_when_full])
def test_every_statement_finds_its_rows_by_an_index(engine: Engine, filled: Callable[[Engine], None]) -> None:
    filled(engine)

    assert slow_statements(engine) == {}
    if connection.vendor == "postgresql":
        engine.plan_once()
        assert slow_statements(engine) == {}
        connection.close()


def slow_statements(engine: Engine) -> dict[str, list[str]]:
    return {
        name: parts
        for name, call in calls(engine).items()
        for statement in statements(call)
        if (parts := slow_parts(statement))
    }


@pytest.mark.usefixtures("_planned_once")
@pytest.mark.parametrize("rows", [None, 0, 10, 200, 2_000])
def test_a_plan_that_was_made_for_a_small_table_is_good_for_a_large_one(engine: Engine, rows: int | None) -> None:
    fill_all(engine, 100)
    asked = {name: [each for each in statements(call) if each[-1]] for name, call in calls(engine).items()}
    execute("TRUNCATE jobqueue_run")
    if rows is not None:
        fill(engine, State.PENDING, rows, hours=-1)
        execute("ANALYZE jobqueue_run")

    slow = {name: parts for name, prepared in asked.items() for each in prepared if (parts := slow_parts(each))}

    assert slow == {}
    assert len([name for name, prepared in asked.items() if prepared]) > 20


def test_the_work_does_not_grow_with_what_need_not_be_done(engine: Engine) -> None:
    fill_all(engine, 5_000)
    execute("ANALYZE")
    before = {name: work(call) for name, call in calls(engine).items()}

    fill(engine, State.COMPLETED, 90_000, hours=-50)
    fill(engine, State.PENDING, 10_000, hours=50)
    fill(engine, State.PENDING, 10_000, hours=-50, line=KEY)
    execute("ANALYZE")

    after = {name: work(call) for name, call in calls(engine).items()}
    assert {name: steps for name, steps in after.items() if steps > before[name] * 1.5 + 20} == {}
    assert after["claim"] < 5_000
