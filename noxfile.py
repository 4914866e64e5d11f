"""The matrix: ``nox -s tests`` is every Python and Django on every database, ``nox -s lint types`` the checks.

On MariaDB runs what ``make test-mysql`` runs.
"""

from __future__ import annotations

import nox

PROJECT = nox.project.load_toml("pyproject.toml")
PAIRS = [("3.11", "5.2"), ("3.13", "6.1")]
DATABASES = ["sqlite", "postgresql", "mysql"]

nox.options.default_venv_backend = "uv|virtualenv"


def install(session: nox.Session, group: str, *packages: str) -> None:
    session.install("--editable", ".", *nox.project.dependency_groups(PROJECT, group), *packages)


@nox.session
@nox.parametrize("database", DATABASES)
@nox.parametrize(("python", "django"), PAIRS)
def tests(session: nox.Session, django: str, database: str) -> None:
    install(session, "test", f"Django~={django}.0")
    chosen = ["-m", "not slow or also_on_mysql", "@tests/on_mysql.txt"] if database == "mysql" else []
    session.run("python", "-m", "pytest", *(session.posargs or chosen), env={"JOBQUEUE_TEST_DATABASE": database})


@nox.session(python="3.11")
def lint(session: nox.Session) -> None:
    install(session, "lint")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("lint-imports")


@nox.session(python="3.11")
def types(session: nox.Session) -> None:
    install(session, "types", "Django~=5.2.0")
    session.run("mypy")
