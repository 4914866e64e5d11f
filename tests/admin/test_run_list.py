"""The list of runs stays quick and exact on a table of any size."""

from __future__ import annotations

import re
from datetime import timedelta
from itertools import chain
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_jobqueue.admin import keyset
from django_jobqueue.admin import runs as runs_admin
from django_jobqueue.models import Run
from tests.admin.conftest import RUNS, MakeRun, Staff, page

LARGE = ["payload", "result", "error", "metadata", "progress"]


def shown(client: Client, query: str = "") -> list[int]:
    """The ids in the list, from top to bottom."""
    return [run.pk for run in client.get(RUNS + query).context["cl"].result_list]


def walked(client: Client, query: str, direction: str) -> list[list[int]]:
    """The ids of all pages, going on while there is a link."""
    pages: list[list[int]] = []
    address = query
    while True:
        changes = client.get(RUNS + address).context["cl"]
        pages.append([run.pk for run in changes.result_list])
        if getattr(changes, direction) is None:
            return pages
        address = getattr(changes, f"{direction}_url")
        assert len(pages) < 50


def test_the_newest_run_comes_first(ana: Client, make_run: MakeRun) -> None:
    ids = [make_run().pk for _ in range(3)]

    assert shown(ana) == ids[::-1]


def test_a_row_tells_what_a_run_is_and_how_it_stands(ana: Client, make_run: MakeRun) -> None:
    run = make_run("dead_lettered", reason="max_attempts", attempt=3, worker="web-1:4411:abcd")

    text = page(ana.get(RUNS))

    assert f'<a href="/admin/django_jobqueue/run/{run.pk}/change/">{run.pk}</a>' in text
    assert "mail.<wbr>send" in text
    assert "dead-lettered" in text
    assert "max attempts" in text
    assert "web-1:4411:abcd" in text
    assert "1 min 30 s" in text


def test_a_pending_run_is_scheduled_or_retrying_where_that_says_more(ana: Client, make_run: MakeRun) -> None:
    later = timezone.now() + timedelta(minutes=4, seconds=30)
    make_run()
    make_run(run_at=later)
    make_run(run_at=later, failures=1, attempt=1)

    badges = re.findall(r"jq-badge.*?</span> ([\w-]+)</span>", page(ana.get(RUNS)))

    assert badges == ["retrying", "scheduled", "pending"]


# --- Pages -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["", "?state=pending", "?queue=mail&job=send"])
def test_going_back_through_120_runs_shows_each_once(ana: Client, make_run: MakeRun, query: str) -> None:
    ids = [make_run().pk for _ in range(120)]
    make_run("completed", queue="reports", job="render", pk=ids[-1] + 1)
    Run.objects.filter(pk=ids[-1] + 1).delete()

    pages = walked(ana, query, "older")

    assert [len(rows) for rows in pages] == [50, 50, 20]
    assert [*chain(*pages)] == ids[::-1]


def test_going_forward_again_shows_each_once_too(ana: Client, make_run: MakeRun) -> None:
    ids = [make_run().pk for _ in range(150)]

    pages = walked(ana, f"?after={ids[0] - 1}", "newer")

    assert [*chain(*reversed(pages))] == ids[::-1]


def test_what_an_index_finds_has_pages_in_both_directions(ana: Client, make_run: MakeRun) -> None:
    ids = [make_run("failed", reason="job_failed").pk for _ in range(150)]

    back = walked(ana, "?state=failed", "older")
    forth = walked(ana, f"?state=failed&after={ids[0] - 1}", "newer")

    assert [*chain(*back)] == [*chain(*reversed(forth))] == ids[::-1]


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("state", "index"),
    [("running", "jobqueue_run_running"), ("failed", "jobqueue_run_failed"), ("dead_lettered", "jobqueue_run_failed")],
)
def test_rare_states_are_found_by_their_index(ana: Client, make_run: MakeRun, state: str, index: str) -> None:
    make_run()
    [sql] = asked(ana, f"{RUNS}?state={state}")

    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
        plan = str(cursor.fetchall())

    assert f"USING INDEX {index}" in plan


def test_runs_that_are_added_meanwhile_do_not_shift_the_pages(ana: Client, make_run: MakeRun) -> None:
    ids = [make_run().pk for _ in range(60)]
    older = ana.get(RUNS).context["cl"].older_url

    for _ in range(10):
        make_run()

    assert shown(ana, older) == ids[:10][::-1]


def test_a_page_links_back_to_the_newest_runs_and_keeps_the_filters(ana: Client, make_run: MakeRun) -> None:
    ids = [make_run().pk for _ in range(60)]

    text = page(ana.get(f"{RUNS}?state=pending&before={ids[10]}"))

    assert '<a href="?state=pending">Newest</a>' in text
    assert f'<a href="?after={ids[9]}&amp;state=pending" rel="prev">Newer</a>' in text
    assert "Older" not in text


def test_choosing_a_filter_begins_at_the_newest_run(ana: Client, make_run: MakeRun) -> None:
    run = make_run()

    text = page(ana.get(f"{RUNS}?before={run.pk + 1}"))

    assert 'href="?state=running"' in text
    assert 'name="before"' not in text


def test_a_rare_match_is_looked_for_piece_by_piece(
    ana: Client, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs_admin, "PIECE", 20)
    monkeypatch.setattr(keyset, "PATIENCE_SECONDS", 0)
    rare = [make_run("cancelled", reason="cancelled").pk, make_run("cancelled", reason="cancelled").pk]
    for _ in range(70):
        make_run()

    first = page(ana.get(f"{RUNS}?state=cancelled"))
    pages = walked(ana, "?state=cancelled", "older")

    assert "Nothing matches down to number" in first
    assert "Look further back" in first
    assert [rows for rows in pages if rows] == [rare[::-1]]
    assert len(pages) == 4


def test_a_page_looks_on_while_there_is_time(ana: Client, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_admin, "PIECE", 10)
    monkeypatch.setattr(keyset, "PATIENCE_SECONDS", 60)
    rare = [make_run("cancelled", reason="cancelled").pk, make_run("cancelled", reason="cancelled").pk]
    for _ in range(70):
        make_run()

    assert shown(ana, "?state=cancelled") == rare[::-1]
    assert "Look further back" not in page(ana.get(f"{RUNS}?state=cancelled"))


def test_a_rare_match_is_looked_for_forward_too(
    ana: Client, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs_admin, "PIECE", 20)
    monkeypatch.setattr(keyset, "PATIENCE_SECONDS", 0)
    first = make_run()
    for _ in range(70):
        make_run()
    rare = make_run("cancelled", reason="cancelled")

    pages = walked(ana, f"?state=cancelled&after={first.pk}", "newer")

    assert [rows for rows in pages if rows] == [[rare.pk]]
    assert len(pages) == 4


def test_what_an_index_finds_is_found_at_once(ana: Client, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_admin, "PIECE", 2)
    monkeypatch.setattr(keyset, "PATIENCE_SECONDS", 0)
    rare = make_run("failed", reason="job_failed")
    for _ in range(10):
        make_run()

    assert shown(ana, "?state=failed") == [rare.pk]
    assert shown(ana, f"?q={rare.pk}") == [rare.pk]


@pytest.mark.parametrize("place", ["before=x", "before=-1", "before=", f"after={2**63}", "after=%00", "after=\uff11"])
def test_a_page_that_cannot_be_leads_to_the_list(ana: Client, place: str) -> None:
    response = ana.get(f"{RUNS}?{place}")

    assert response.status_code == 302
    assert response["Location"] == f"{RUNS}?e=1"


@pytest.mark.parametrize("place", [f"before={2**63 - 1}", f"after={2**63 - 1}", "before=0", "p=7", "all="])
def test_a_page_beyond_the_ends_is_a_page_too(ana: Client, make_run: MakeRun, place: str) -> None:
    make_run()

    assert ana.get(f"{RUNS}?{place}").status_code == 200


# --- Filters and search ----------------------------------------------------------------------------------------------


def test_states_are_filtered_by_their_words(ana: Client, make_run: MakeRun) -> None:
    now = timezone.now()
    early, later = now - timedelta(hours=1), now + timedelta(hours=1)
    due = make_run(run_at=early).pk
    scheduled = make_run(run_at=later).pk
    retrying = make_run(run_at=later, failures=1, attempt=1).pk
    ids = {
        state: make_run(state, reason=reason).pk
        for state, reason in [
            ("running", None),
            ("completed", "returned"),
            ("failed", "job_failed"),
            ("dead_lettered", "max_attempts"),
            ("cancelled", "cancelled"),
        ]
    }

    assert shown(ana, "?state=pending") == [retrying, scheduled, due]
    assert shown(ana, "?state=due") == [due]
    assert shown(ana, "?state=scheduled") == [retrying, scheduled]
    assert shown(ana, "?state=retrying") == [retrying]
    assert {state: shown(ana, f"?state={state}") for state in ids} == {state: [pk] for state, pk in ids.items()}


def test_queues_and_jobs_are_offered_without_asking_the_table(ana: Client) -> None:
    text = page(ana.get(RUNS))

    for choice in ["?queue=default", "?queue=mail", "?queue=reports", "?job=render", "?job=send"]:
        assert f'href="{choice}"' in text


def test_a_queue_narrows_the_jobs_that_are_offered(ana: Client) -> None:
    text = page(ana.get(f"{RUNS}?queue=mail"))

    assert 'href="?job=send&amp;queue=mail"' in text
    assert "job=render" not in text


def test_filters_by_queue_and_job_go_together(ana: Client, make_run: MakeRun) -> None:
    make_run()
    wanted = make_run(queue="reports", job="render")
    make_run(queue="reports", job="gone")

    assert shown(ana, "?queue=reports&job=render") == [wanted.pk]
    assert len(shown(ana, "?queue=reports")) == 2


def test_runs_of_a_queue_that_is_declared_no_more_can_be_asked_for(ana: Client, make_run: MakeRun) -> None:
    old = make_run(queue="gone", job="lost")

    assert shown(ana, "?queue=gone") == [old.pk]


@pytest.mark.parametrize("query", ["state=nonsense", "queue=%00", "job=%00"])
def test_a_filter_that_cannot_be_leads_to_the_list(ana: Client, query: str) -> None:
    assert ana.get(f"{RUNS}?{query}")["Location"] == f"{RUNS}?e=1"


@pytest.mark.parametrize(
    "lookup", ["payload__contains", "error__icontains", "state__in", "worker", "id__gt", "nothing"]
)
def test_conditions_that_are_not_offered_are_refused(ana: Client, lookup: str) -> None:
    assert ana.get(f"{RUNS}?{lookup}=x").status_code == 400


def test_search_takes_ids(ana: Client, make_run: MakeRun) -> None:
    first, second, _ = make_run(), make_run(), make_run()

    assert shown(ana, f"?q={first.pk}") == [first.pk]
    assert shown(ana, f"?q={first.pk},+{second.pk}") == [second.pk, first.pk]
    assert "1 result" in page(ana.get(f"{RUNS}?q={first.pk}"))


@pytest.mark.parametrize(
    "words", ["send", "' OR 1=1 --", "9" * 30, "9" * 5000, "-1", "1.5", "\uff11", "%00", str(2**63)]
)
def test_search_for_anything_else_finds_nothing(ana: Client, make_run: MakeRun, words: str) -> None:
    make_run(pk=1)

    response = ana.get(RUNS, {"q": words})

    assert list(response.context["cl"].result_list) == []


def test_search_for_what_no_text_can_hold_is_told(ana: Client) -> None:
    assert "Null characters are not allowed." in page(ana.get(f"{RUNS}?q=%00"))


def test_runs_of_another_namespace_are_not_there(ana: Client, make_run: MakeRun) -> None:
    make_run(namespace="staging")

    assert shown(ana) == []
    assert "There is nothing here yet." in page(ana.get(RUNS))


# --- Costs -----------------------------------------------------------------------------------------------------------


def asked(client: Client, address: str) -> list[str]:
    """The queries on our tables that a page takes."""
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert client.get(address).status_code == 200
    return [query["sql"] for query in queries if "jobqueue_" in query["sql"]]


@pytest.mark.parametrize(
    "query", ["", "?state=pending", "?state=dead_lettered", "?queue=mail&job=send", "?q=1", "?before=150"]
)
def test_a_page_takes_at_most_three_queries_and_none_counts(ana: Client, make_run: MakeRun, query: str) -> None:
    for number in range(1, 201):
        make_run(pk=number)

    queries = asked(ana, RUNS + query)

    assert len(queries) <= 3
    assert not any("COUNT(" in sql.upper() or "DISTINCT" in sql.upper() or "OFFSET" in sql.upper() for sql in queries)
    assert all("LIMIT" in sql for sql in queries)


def test_all_queries_of_a_page_together_are_few(staff: Staff, make_run: MakeRun) -> None:
    for _ in range(60):
        make_run()
    client = staff("view_run", "replay_run")

    with CaptureQueriesContext(connection) as queries:
        client.get(RUNS)

    assert len(queries) <= 7  # with those for the session, the user and the permissions


def test_large_columns_are_not_read(ana: Client, make_run: MakeRun) -> None:
    for _ in range(3):
        make_run("completed", payload={"x": "y" * 1000}, result="z" * 1000)

    for sql in asked(ana, RUNS):
        assert not any(f'"{column}"' in sql.partition(" FROM ")[0] for column in LARGE)


def test_nothing_is_added_changed_or_deleted_by_a_form(ana: Client, make_run: MakeRun) -> None:
    run: Any = make_run("completed")
    text = page(ana.get(RUNS))

    assert ana.get(f"{RUNS}add/").status_code == 403
    assert ana.post(f"{RUNS}add/", {"queue": "mail"}).status_code == 403
    assert ana.post(f"{RUNS}{run.pk}/delete/", {"post": "yes"}).status_code == 403
    assert ana.post(f"{RUNS}{run.pk}/change/", {"queue": "other"}).status_code == 405
    assert "delete_selected" not in text
    assert Run.objects.get().queue == "mail"
