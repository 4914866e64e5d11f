from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any, TypeAlias

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from django_jobqueue import job
from django_jobqueue.jobs import JobRegistry, registry
from django_jobqueue.models import Run
from django_jobqueue.states import FINAL_STATES, State

MakeRun: TypeAlias = Callable[..., Run]
Staff: TypeAlias = Callable[..., Client]

VIEWS = ["view_run", "view_queuestate", "view_worker", "view_schedule", "view_activity"]


def send(to: str = "nobody") -> None:
    """Send one letter."""


def render(**order: object) -> None:
    """Render one report."""


@pytest.fixture(autouse=True)
def shop(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two queues, of one job each."""
    monkeypatch.setattr(registry, "__dict__", vars(JobRegistry()))
    settings.JOBQUEUE = {"queues": {"mail": {"concurrent_jobs": 8}, "reports": {}}}
    job(queue="mail")(send)
    job(queue="reports")(render)


@pytest.fixture
def make_run(db: None) -> MakeRun:
    """Write a run as it looks in a state, whatever else is asked for."""

    def make(state: str = "pending", **columns: Any) -> Run:
        now = timezone.now()
        known: dict[str, Any] = {"queue": "mail", "job": "send", "state": state, "run_at": now, "created_at": now}
        if state != State.PENDING:
            known |= {"attempt": 1, "started_at": now - timedelta(seconds=90), "worker": "web-1:4411:abcd"}
        if state == State.RUNNING:
            known |= {"lease_until": now + timedelta(seconds=30)}
        if state in FINAL_STATES:
            known |= {"finished_at": now, "reason": "returned"}
        return Run.objects.create(**known | columns)

    return make


@pytest.fixture
def staff(db: None) -> Staff:
    """Log a member of the staff in, with the named permissions and no others."""

    def log_in(*permissions: str, name: str = "sam", **options: Any) -> Client:
        user = User.objects.create_user(name, is_staff=True)
        found = Permission.objects.filter(codename__in=permissions, content_type__app_label="django_jobqueue")
        assert found.count() == len(permissions)
        user.user_permissions.set(found)
        client = Client(**options)
        client.force_login(user)
        return client

    return log_in


@pytest.fixture
def ana(db: None) -> Client:
    """A superuser."""
    client = Client()
    client.force_login(User.objects.create_superuser("ana"))
    return client


def run_url(run: Run | int | str, verb: str = "change") -> str:
    return f"/admin/django_jobqueue/run/{run.pk if isinstance(run, Run) else run}/{verb}/"


RUNS = "/admin/django_jobqueue/run/"
QUEUES = "/admin/django_jobqueue/queuestate/"
WORKERS = "/admin/django_jobqueue/worker/"
SCHEDULES = "/admin/django_jobqueue/schedule/"
ACTIVITIES = "/admin/django_jobqueue/activity/"


def page(response: Any) -> str:
    """The text of a page that was shown."""
    assert response.status_code == 200, response
    return str(response.content.decode())


class Fields(HTMLParser):
    """The fields of a page, as a browser would send them back if nobody touched them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.values: dict[str, str] = {}
        self._name = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag in {"textarea", "select"}:
            self._name = given.get("name", "")
            self.values[self._name] = ""
        elif tag == "option" and "selected" in given:
            self.values[self._name] = given["value"]
        elif given.get("type") == "checkbox":
            self.values |= {given["name"]: given.get("value", "on")} if "checked" in given else {}
        elif tag == "input" and "name" in given and given["type"] != "submit":
            self.values[given["name"]] = given.get("value", "")

    def handle_data(self, data: str) -> None:
        if self.lasttag == "textarea" and self._name:
            self.values[self._name] += data

    def handle_endtag(self, tag: str) -> None:
        self._name = ""


def fields(response: Any) -> dict[str, str]:
    """What the form of a page says, untouched."""
    return Fields(page(response)).values


def told(response: Any) -> list[str]:
    """The messages that the response left for the next page."""
    return [str(message) for message in get_messages(response.wsgi_request)]
