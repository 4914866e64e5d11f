from django.db import migrations, models

import django_jobqueue.models.fields

PARKED = django_jobqueue.models.fields.PartialIndex(
    condition=models.Q(("blocked_on__isnull", False), ("state", "pending")),
    fields=["namespace", "queue", "blocked_on", "-priority", "run_at", "id"],
    full_fields=[],
    name="jobqueue_run_parked",
    unique=False,
)


def drop(apps, schema_editor):
    """Drop what a database without partial indexes has twice: there, the index of the claim holds the parked runs too."""
    if not schema_editor.connection.features.supports_partial_indexes:
        schema_editor.execute("DROP INDEX jobqueue_run_parked ON jobqueue_run")


def make(apps, schema_editor):
    """Take it back: the migration before expects to find it."""
    run = apps.get_model("django_jobqueue", "Run")
    [parked] = [index for index in run._meta.indexes if index.name == PARKED.name]
    if not schema_editor.connection.features.supports_partial_indexes:
        schema_editor.add_index(run, parked)


class Migration(migrations.Migration):
    dependencies = [("django_jobqueue", "0012_tune_queue")]

    operations = [
        migrations.RunPython(drop, make, atomic=False),  # MySQL refuses DDL in transactions
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RemoveIndex(model_name="run", name="jobqueue_run_parked"),
                migrations.AddIndex(model_name="run", index=PARKED),
            ]
        ),
    ]
