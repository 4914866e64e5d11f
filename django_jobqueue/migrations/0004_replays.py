from django.db import migrations, models

import django_jobqueue.models.fields


class Migration(migrations.Migration):
    dependencies = [("django_jobqueue", "0003_permissions")]

    operations = [
        migrations.AddIndex(
            model_name="run",
            index=django_jobqueue.models.fields.PartialIndex(
                condition=models.Q(("replay_of__isnull", False)),
                fields=["replay_of"],
                full_fields=["replay_of"],
                name="jobqueue_run_replays",
                unique=True,
            ),
        )
    ]
