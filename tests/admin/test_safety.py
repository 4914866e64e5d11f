"""No page can be made to act by a link or by another site, and none shows text as anything but text."""

from __future__ import annotations

import re
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from django.contrib.admin.utils import quote
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from django_jobqueue import operations
from django_jobqueue.models import Activity, Attempt, QueueState, Run, Schedule, Worker
from tests.admin.conftest import ACTIVITIES, QUEUES, RUNS, SCHEDULES, WORKERS, MakeRun, Staff, page, run_url

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)> javascript:alert(3) {{ 7|add:7 }}"


@pytest.fixture
def addresses(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All our pages, where every text that anybody may choose is a trap."""
    now = timezone.now()
    texts: dict[str, Any] = {
        "queue": "mail",
        "job": EVIL,
        "worker": EVIL[:255],
        "payload": {EVIL: [EVIL]},
        "metadata": {"a": EVIL},
        "tags": [EVIL],
        "tenant": EVIL,
        "user": EVIL,
        "trace_id": EVIL[:64],
        "concurrency_key": EVIL,
    }
    dead = make_run("dead_lettered", **texts | {"reason": EVIL[:32]}, error=EVIL, attempt=1)
    live = make_run("running", **texts, progress={"message": EVIL})
    done = make_run("completed", **texts, result=EVIL)
    waiting = make_run(**texts, blocked_on=EVIL)
    Attempt.objects.create(
        run=dead, number=1, worker=EVIL, started_at=now, finished_at=now, outcome=EVIL[:16], error=EVIL, traceback=EVIL
    )
    operations.cancel(live.pk, actor=EVIL, reason=EVIL)
    operations.pause_queue("mail", actor=EVIL, reason=EVIL)
    Worker.objects.create(name=EVIL, queues=[EVIL], concurrency=1, started_at=now, heartbeat_at=now)
    schedule = Schedule.objects.create(
        name=EVIL, cron=EVIL, timezone=EVIL[:64], queue="mail", job=EVIL, payload={"a": EVIL}, next_run_at=now
    )
    return [
        RUNS,
        f"{RUNS}?state=running&queue=mail",
        f"{RUNS}?q={EVIL}",
        f"{RUNS}?queue={EVIL}",
        *(run_url(run) for run in (dead, live, done, waiting)),
        run_url(dead, "replay"),
        run_url(live, "cancel"),
        QUEUES,
        f"{QUEUES}mail/pause/",
        f"{QUEUES}mail/resume/",
        WORKERS,
        SCHEDULES,
        f"{SCHEDULES}{schedule.pk}/change/",
        ACTIVITIES,
    ]


class Markup(HTMLParser):
    """What a policy without 'unsafe-inline' forbids, and what a trap would have become."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._tag = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag = tag
        for name, value in attrs:
            if name == "style" or name.startswith("on") or (value or "").strip().lower().startswith("javascript:"):
                self.found.append(f"{tag} {name}={value}")
        if (
            tag == "style"
            or (tag == "script" and not dict(attrs).get("src"))
            or (tag == "img" and ("src", "x") in attrs)
        ):
            self.found.append(tag)


def test_every_text_is_shown_as_text_and_no_markup_needs_an_exception_from_the_policy(
    ana: Client, addresses: list[str]
) -> None:
    for address in addresses:
        text = page(ana.get(address))
        markup = Markup()
        markup.feed(text)

        assert markup.found == [], address
        assert "<script>alert" not in text, address
        assert "<img src=x" not in text, address


def test_what_was_done_to_a_trap_is_told_as_text_too(ana: Client, addresses: list[str]) -> None:
    ids = list(Run.objects.values_list("pk", flat=True))
    for verb in ["replay", "cancel"]:
        text = page(
            ana.post(
                RUNS,
                {"action": f"{verb}_selected", "_selected_action": ids, "confirmed": "yes", "reason": EVIL},
                follow=True,
            )
        )
        assert "<script>alert" not in text
        assert "was not replayed" in text or "cancel" in text


def test_the_pages_are_sent_under_a_policy_that_allows_nothing_inline(ana: Client, addresses: list[str]) -> None:
    assert ana.get(RUNS)["Content-Security-Policy"].startswith("default-src 'self';")


def test_no_page_changes_anything_by_being_looked_at(ana: Client, addresses: list[str]) -> None:
    def rows() -> list[Any]:
        models: list[Any] = [Run, Attempt, Activity, QueueState, Schedule, Worker]
        return [list(model.objects.order_by("pk").values()) for model in models]

    before = rows()
    for address in addresses:
        for query in ["", "?confirmed=yes&reason=x", "?action=cancel_selected&_selected_action=1&confirmed=yes"]:
            ana.get(address.partition("?")[0] + query)
            ana.head(address.partition("?")[0] + query)

    assert rows() == before


def test_a_form_of_another_site_is_refused(staff: Staff, make_run: MakeRun) -> None:
    run = make_run()
    client = staff("view_run", "view_queuestate", "replay_run", "cancel_run", "pause_queue", enforce_csrf_checks=True)
    action = {"action": "cancel_selected", "_selected_action": [run.pk], "confirmed": "yes"}

    answers = [
        client.post(run_url(run, "cancel"), {"confirmed": "yes"}),
        client.post(run_url(run, "replay"), {"confirmed": "yes"}),
        client.post(f"{QUEUES}mail/pause/", {"confirmed": "yes"}),
        client.post(f"{QUEUES}mail/resume/", {"confirmed": "yes"}),
        client.post(RUNS, action),
    ]

    assert {answer.status_code for answer in answers} == {403}
    assert Run.objects.get().state == "pending"
    assert not Activity.objects.exists()


def test_our_own_form_is_taken(staff: Staff, make_run: MakeRun) -> None:
    run = make_run()
    client = staff("view_run", "cancel_run", enforce_csrf_checks=True)

    question = page(client.get(run_url(run, "cancel")))
    [token] = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', question.partition("jq-confirm")[2])
    client.post(run_url(run, "cancel"), {"csrfmiddlewaretoken": token, "confirmed": "yes"})

    assert Run.objects.get().state == "cancelled"


def test_who_is_not_logged_in_is_led_to_the_login(client: Client, addresses: list[str]) -> None:
    for address in addresses:
        answer = client.get(address)
        assert answer.status_code == 302
        assert answer["Location"].startswith("/admin/login/?next=")
        assert client.post(address).status_code == 302


def test_a_user_who_is_no_staff_is_led_to_the_login(
    client: Client, addresses: list[str], django_user_model: Any
) -> None:
    client.force_login(django_user_model.objects.create_user("visitor"))

    for address in addresses:
        assert client.get(address)["Location"].startswith("/admin/login/?next=")


@pytest.mark.parametrize("language", ["de", "ar"])
def test_no_page_breaks_in_another_language(
    ana: Client, addresses: list[str], settings: Settings, language: str
) -> None:
    settings.LANGUAGE_CODE = language
    settings.USE_THOUSAND_SEPARATOR = True
    run = Run.objects.create(
        pk=1234567, queue="mail", job="send", created_at=timezone.now(), run_at=timezone.now() + timedelta(days=3)
    )

    for address in [*addresses, run_url(run), run_url(run, "cancel")]:
        text = page(ana.get(address))
        assert "1.234.567/change" not in text

    assert f'href="{run_url(run)}"' in page(ana.get(RUNS))
    assert f'value="{quote(run.pk)}"' in page(ana.get(run_url(run, "cancel")))
