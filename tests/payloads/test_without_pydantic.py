"""Where pydantic is not installed, all that does not need it is the same, and what needs it says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

pytestmark = pytest.mark.sqlite  # no database is asked

ROOT = Path(__file__).resolve().parents[2]


def without_pydantic(source: str) -> str:
    """What a new Python, in which pydantic cannot be imported, prints when it runs *source*."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\nsys.modules['pydantic'] = None\n{dedent(source)}"],
        cwd=ROOT,
        env=os.environ | {"JOBQUEUE_TEST_DATABASE": "sqlite", "DJANGO_SETTINGS_MODULE": "tests.settings"},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_types_that_need_no_pydantic_are_the_same() -> None:
    output = without_pydantic(
        """
        import pytest
        sys.exit(pytest.main(["tests/payloads/test_types.py", "-q", "-p", "no:randomly", "-p", "no:cacheprovider"]))
        """
    )

    assert " passed" in output
    assert "skipped" not in output


def test_the_types_that_need_it_say_so() -> None:
    output = without_pydantic(
        """
        from dataclasses import InitVar, dataclass
        from datetime import datetime
        from typing import Annotated
        from uuid import UUID
        from django_jobqueue.payloads import PayloadSchema

        @dataclass
        class Made:
            a: InitVar[int]

        def job(a: set[int], b: UUID | str, c: dict[int, str], d: Made, e: bytes = b"", f: Annotated[datetime, 1] = None):
            ...

        schema = PayloadSchema.of(job)
        print(*schema.flaws, sep="\\n")
        print(schema.kinds["f"].wanted)
        """
    )

    hint = "without pydantic. Install django-jobqueue[pydantic]. Annotate what JSON holds, or give it a default."
    assert output.splitlines() == [
        f"Parameter 'a': no payload can hold set[int] {hint}",
        f"Parameter 'b': no payload can hold uuid.UUID | str {hint}",
        f"Parameter 'c': no payload can hold dict[int, str] {hint}",
        f"Parameter 'd': no payload can hold __main__.Made {hint}",
        "a datetime",
    ]


def test_it_is_not_imported_where_no_annotation_needs_it() -> None:
    output = without_pydantic(
        """
        del sys.modules["pydantic"]
        import django
        django.setup()
        from django_jobqueue.payloads import PayloadSchema
        from tests.payloads.records import Order

        def job(order: Order, more: list[int] | None = None): ...

        PayloadSchema.of(job)
        print("pydantic" in sys.modules)
        """
    )

    assert output == "False\n"
