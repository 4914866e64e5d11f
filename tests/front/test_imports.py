"""What the package exports, and what it leaves unimported until it is asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

import django_jobqueue
from django_jobqueue.models import Run

ROOT = Path(__file__).resolve().parents[2]
EXPORTS = ["Cancel", "Fail", "Retry", "RunContext", "Snooze", "job", "queues", "schedule"]


def new_process(source: str) -> str:
    """What a new Python that runs *source* prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", dedent(source)],
        cwd=ROOT,
        env=dict(os.environ),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_exports_are_these() -> None:
    assert sorted(django_jobqueue.__all__) == EXPORTS
    assert all(getattr(django_jobqueue, name) is not None for name in EXPORTS)


def test_an_attribute_that_there_is_not_is_refused_as_of_any_module() -> None:
    assert not hasattr(django_jobqueue, "tasks")
    with pytest.raises(AttributeError, match="module 'django_jobqueue' has no attribute 'tasks'"):
        django_jobqueue.tasks  # noqa: B018


def test_all_exports_can_be_imported_at_once() -> None:
    output = new_process(
        """
        before = {*globals(), "before"}
        from django_jobqueue import *
        print(*sorted({*globals()} - before))
        """
    )

    assert output.split() == EXPORTS


def test_importing_the_package_imports_nothing_else() -> None:
    output = new_process(
        """
        import sys
        import django_jobqueue
        print(*(name for name in sys.modules if name.partition(".")[0] in {"django", "asgiref", "django_jobqueue"}))
        """
    )

    assert output.split() == ["django_jobqueue"]


def test_all_exports_can_be_imported_without_settings_and_import_no_models() -> None:
    output = new_process(
        """
        import sys
        from django_jobqueue import *
        print(*(name for name in sys.modules if name.startswith(("django_jobqueue.models", "django.db.models"))))
        """
    )

    assert output.split() == []


@pytest.mark.sqlite
@pytest.mark.django_db(transaction=True)
def test_a_worker_loads_only_what_it_needs() -> None:
    output = new_process(
        """
        import sys
        import django
        from django.core.management import call_command

        django.setup()
        call_command("runjobs", "--drain", verbosity=0)
        others = {"croniter", "django_jobqueue.engines.mysql", "django_jobqueue.engines.postgresql"}
        migrations = {name for name in sys.modules if ".migrations.0" in name}
        print(*(others | migrations) & sys.modules.keys())
        """
    )

    assert output.split() == []


@pytest.mark.django_db(transaction=True)
def test_a_job_may_be_declared_before_django_is_set_up() -> None:
    output = new_process(
        """
        from django_jobqueue import job, queues

        @job(priority=5)
        def hello(name): ...

        import django
        django.setup()
        print(queues.default.add("hello", {"name": "Ada"}).pk)
        print(hello.add({"name": "Grace"}).pk)
        """
    )

    runs = Run.objects.order_by("id")
    assert output.split() == [str(run.pk) for run in runs]
    assert [(run.job, run.payload["name"], run.priority) for run in runs] == [
        ("hello", "Ada", 5),
        ("hello", "Grace", 5),
    ]
