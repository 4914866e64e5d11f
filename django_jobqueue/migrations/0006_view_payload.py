from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("django_jobqueue", "0005_schedules"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="run",
            options={
                "permissions": [
                    ("replay_run", "Can replay run"),
                    ("cancel_run", "Can cancel run"),
                    ("view_payload", "Can view payload with its secrets"),
                ]
            },
        ),
    ]
