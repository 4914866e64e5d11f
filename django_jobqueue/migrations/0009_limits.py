from django.db import migrations, models

import django_jobqueue.models.fields


class Migration(migrations.Migration):
    dependencies = [("django_jobqueue", "0008_unknown_jobs")]

    operations = [
        migrations.DeleteModel(name="LimitBucket"),  # nothing has been written to it so far
        migrations.CreateModel(
            name="LimitBucket",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("namespace", django_jobqueue.models.fields.NameField(default="default", max_length=64)),
                ("queue", django_jobqueue.models.fields.NameField(max_length=100)),
                ("key", django_jobqueue.models.fields.NameField(max_length=500)),
                ("tokens", models.FloatField()),
                ("updated_at", models.DateTimeField()),
                ("next_at", models.DateTimeField(blank=True, null=True)),
                ("promised_at", models.DateTimeField(blank=True, null=True)),
                ("full_at", models.DateTimeField()),
            ],
            options={
                "db_table": "jobqueue_limit_bucket",
                "indexes": [
                    django_jobqueue.models.fields.PartialIndex(
                        condition=models.Q(("next_at__isnull", False)),
                        fields=["namespace", "queue", "next_at"],
                        full_fields=["namespace", "queue", "next_at"],
                        name="jobqueue_limit_bucket_next",
                        unique=False,
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("namespace", "queue", "key"), name="jobqueue_limit_bucket_key")
                ],
            },
        ),
        migrations.AddField(
            model_name="queuestate",
            name="concurrent_jobs_per_key",
            field=models.IntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="queuestate",
            name="concurrent_jobs_per_key_until",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="queuestate",
            name="rate_limit",
            field=models.CharField(blank=True, max_length=32, null=True),
        ),
        migrations.AddField(
            model_name="queuestate",
            name="rate_limit_until",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AlterField(
            model_name="run",
            name="blocked_on",
            field=django_jobqueue.models.fields.NameField(blank=True, max_length=500, null=True),
        ),
        migrations.AddIndex(
            model_name="run",
            index=django_jobqueue.models.fields.PartialIndex(
                condition=models.Q(("blocked_on__isnull", False), ("state", "pending")),
                fields=["namespace", "queue", "blocked_on", "-priority", "run_at", "id"],
                full_fields=["namespace", "queue", "state", "blocked_on", "-priority", "run_at", "id"],
                name="jobqueue_run_parked",
                unique=False,
            ),
        ),
        migrations.AddIndex(
            model_name="run",
            index=django_jobqueue.models.fields.PartialIndex(
                condition=models.Q(("concurrency_key__isnull", False), ("state__in", ["pending", "running"])),
                fields=["namespace", "queue", "concurrency_key", "id"],
                full_fields=["namespace", "queue", "concurrency_key", "state", "id"],
                name="jobqueue_run_key",
                unique=False,
            ),
        ),
    ]
