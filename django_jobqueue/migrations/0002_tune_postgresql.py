from django.db import migrations


def tune(apps, schema_editor):
    """Vacuum by absolute counts: with PostgreSQL's share of the table, a long history would put it off for ever."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            """
            ALTER TABLE jobqueue_run SET (
                fillfactor = 90,
                autovacuum_vacuum_scale_factor = 0,
                autovacuum_vacuum_threshold = 10000,
                autovacuum_vacuum_insert_scale_factor = 0,
                autovacuum_vacuum_insert_threshold = 50000,
                autovacuum_analyze_scale_factor = 0,
                autovacuum_analyze_threshold = 20000,
                autovacuum_vacuum_cost_delay = 0
            )
            """
        )


class Migration(migrations.Migration):
    dependencies = [("django_jobqueue", "0001_initial")]

    operations = [migrations.RunPython(tune, migrations.RunPython.noop)]
