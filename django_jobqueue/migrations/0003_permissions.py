from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("django_jobqueue", "0002_tune_postgresql")]

    operations = [
        migrations.AlterModelOptions(
            name="run",
            options={"permissions": [("replay_run", "Can replay run"), ("cancel_run", "Can cancel run")]},
        ),
        migrations.AlterModelOptions(
            name="queuestate",
            options={"permissions": [("pause_queue", "Can pause and resume queue")], "verbose_name": "queue"},
        ),
    ]
