"""The migrations make the tables of the models, and can be taken back."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection, connections

TABLES = {model._meta.db_table for model in apps.get_app_config("django_jobqueue").get_models()}


def tables(alias: str) -> set[str]:
    return {name for name in connections[alias].introspection.table_names() if name.startswith("jobqueue_")}


@pytest.mark.django_db
def test_no_migration_is_missing() -> None:
    call_command("makemigrations", "django_jobqueue", check_changes=True, dry_run=True, verbosity=0)


def test_all_tables_bear_our_name() -> None:
    assert len(TABLES) == 10
    assert all(table.startswith("jobqueue_") for table in TABLES)


def test_the_migrations_can_be_taken_back_and_applied_again(new_database: str) -> None:
    call_command("migrate", database=new_database, run_syncdb=True, verbosity=0)
    assert tables(new_database) == TABLES

    call_command("migrate", "django_jobqueue", "zero", database=new_database, verbosity=0)
    assert tables(new_database) == set()

    call_command("migrate", "django_jobqueue", database=new_database, verbosity=0)
    assert tables(new_database) == TABLES


@pytest.mark.postgresql
@pytest.mark.django_db
def test_postgresql_vacuums_the_runs_by_absolute_counts() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT reloptions FROM pg_class WHERE relname = 'jobqueue_run'")
        [options] = cursor.fetchone()

    assert {"autovacuum_vacuum_scale_factor=0", "autovacuum_vacuum_threshold=10000", "fillfactor=90"} <= set(options)
