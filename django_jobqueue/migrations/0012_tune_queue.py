from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("django_jobqueue", "0011_worker_slots"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="queuestate",
            options={
                "permissions": [
                    ("pause_queue", "Can pause and resume queue"),
                    ("tune_queue", "Can set limits of queue"),
                ],
                "verbose_name": "queue",
            },
        ),
    ]
