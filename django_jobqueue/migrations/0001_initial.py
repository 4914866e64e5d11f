import django.db.models.deletion
from django.db import migrations, models

import django_jobqueue.models.fields


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Schedule",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("namespace", django_jobqueue.models.fields.NameField(default="default", max_length=64)),
                ("name", django_jobqueue.models.fields.NameField(max_length=200)),
                ("cron", models.CharField(blank=True, max_length=200, null=True)),
                ("every_seconds", models.FloatField(blank=True, null=True)),
                ("timezone", models.CharField(blank=True, max_length=64, null=True)),
                ("queue", django_jobqueue.models.fields.NameField(max_length=100)),
                ("job", django_jobqueue.models.fields.NameField(max_length=200)),
                ("payload", models.JSONField(blank=True, default=dict)),
                ("enabled", models.BooleanField(default=True)),
                ("next_run_at", models.DateTimeField(blank=True, null=True)),
                ("last_run_at", models.DateTimeField(blank=True, null=True)),
                ("misfire", models.CharField(default="fire_once", max_length=16)),
                ("overlap", models.CharField(default="allow", max_length=16)),
            ],
            options={
                "db_table": "jobqueue_schedule",
                "indexes": [
                    django_jobqueue.models.fields.PartialIndex(
                        condition=models.Q(("enabled", True)),
                        fields=["namespace", "next_run_at"],
                        full_fields=["namespace", "enabled", "next_run_at"],
                        name="jobqueue_schedule_due",
                        unique=False,
                    )
                ],
                "constraints": [models.UniqueConstraint(fields=("namespace", "name"), name="jobqueue_schedule_name")],
            },
        ),
        migrations.CreateModel(
            name="Run",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("namespace", django_jobqueue.models.fields.NameField(default="default", max_length=64)),
                ("queue", django_jobqueue.models.fields.NameField(max_length=100)),
                ("job", django_jobqueue.models.fields.NameField(max_length=200)),
                ("version", models.IntegerField(default=1)),
                ("payload", models.JSONField(default=dict)),
                ("state", django_jobqueue.models.fields.NameField(default="pending", max_length=16)),
                ("reason", models.CharField(blank=True, max_length=32, null=True)),
                ("priority", models.SmallIntegerField(default=0)),
                ("run_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("attempt", models.IntegerField(default=0)),
                ("failures", models.IntegerField(default=0)),
                ("crashes", models.IntegerField(default=0)),
                ("snoozes", models.IntegerField(default=0)),
                ("releases", models.IntegerField(default=0)),
                ("max_attempts", models.SmallIntegerField(blank=True, null=True)),
                ("timeout_seconds", models.FloatField(blank=True, null=True)),
                ("delivery", models.CharField(default="at_least_once", max_length=16)),
                ("lease_until", models.DateTimeField(blank=True, null=True)),
                ("worker", models.CharField(blank=True, max_length=255, null=True)),
                ("cancel_requested_at", models.DateTimeField(blank=True, null=True)),
                ("blocked_on", django_jobqueue.models.fields.NameField(blank=True, max_length=320, null=True)),
                ("created_at", models.DateTimeField()),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                ("result", models.JSONField(blank=True, null=True)),
                ("error", models.TextField(blank=True, null=True)),
                ("progress", models.JSONField(blank=True, null=True)),
                ("concurrency_key", django_jobqueue.models.fields.NameField(blank=True, max_length=255, null=True)),
                ("rate_key", django_jobqueue.models.fields.NameField(blank=True, max_length=255, null=True)),
                ("unique_key", django_jobqueue.models.fields.NameField(blank=True, max_length=255, null=True)),
                ("unique_lock", django_jobqueue.models.fields.NameField(blank=True, max_length=64, null=True)),
                ("tags", models.JSONField(blank=True, null=True)),
                ("tenant", models.CharField(blank=True, max_length=255, null=True)),
                ("user", models.TextField(blank=True, db_column="user_id", null=True)),
                ("trace_id", models.CharField(blank=True, max_length=64, null=True)),
                ("metadata", models.JSONField(blank=True, null=True)),
                ("fires_at", models.DateTimeField(blank=True, null=True)),
                ("missed", models.IntegerField(blank=True, null=True)),
                ("published_at", models.DateTimeField(blank=True, null=True)),
                (
                    "replay_of",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="replays",
                        to="django_jobqueue.run",
                    ),
                ),
                (
                    "schedule",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="runs",
                        to="django_jobqueue.schedule",
                    ),
                ),
            ],
            options={
                "db_table": "jobqueue_run",
                "indexes": [
                    django_jobqueue.models.fields.PartialIndex(
                        condition=models.Q(("blocked_on", None), ("state", "pending")),
                        fields=["namespace", "queue", "-priority", "run_at", "id"],
                        full_fields=["namespace", "queue", "state", "blocked_on", "-priority", "run_at", "id"],
                        name="jobqueue_run_claim",
                        unique=False,
                    ),
                    django_jobqueue.models.fields.PartialIndex(
                        condition=models.Q(("state", "running")),
                        fields=["namespace", "lease_until"],
                        full_fields=["namespace", "lease_until"],
                        name="jobqueue_run_running",
                        unique=False,
                    ),
                    django_jobqueue.models.fields.PartialIndex(
                        condition=models.Q(("unique_lock__isnull", False)),
                        fields=["namespace", "unique_lock"],
                        full_fields=["namespace", "unique_lock"],
                        name="jobqueue_run_unique",
                        unique=True,
                    ),
                    django_jobqueue.models.fields.PartialIndex(
                        condition=models.Q(("schedule__isnull", False)),
                        fields=["schedule", "fires_at"],
                        full_fields=["schedule", "fires_at"],
                        name="jobqueue_run_fired",
                        unique=True,
                    ),
                    django_jobqueue.models.fields.PartialIndex(
                        condition=models.Q(("state__in", ["failed", "dead_lettered"])),
                        fields=["namespace", "queue", "id"],
                        full_fields=["namespace", "queue", "state", "id"],
                        name="jobqueue_run_failed",
                        unique=False,
                    ),
                    django_jobqueue.models.fields.PartialIndex(
                        condition=models.Q(("expires_at__isnull", False), ("state", "pending")),
                        fields=["namespace", "expires_at"],
                        full_fields=["namespace", "state", "expires_at"],
                        name="jobqueue_run_expiring",
                        unique=False,
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("lease_until__isnull", False), ("state", "running")),
                            models.Q(models.Q(("state", "running"), _negated=True), ("lease_until__isnull", True)),
                            _connector="OR",
                        ),
                        name="jobqueue_run_leased_while_running",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("finished_at__isnull", False),
                                ("reason__isnull", False),
                                ("state__in", ["cancelled", "completed", "dead_lettered", "failed"]),
                            ),
                            models.Q(
                                ("finished_at__isnull", True),
                                ("reason__isnull", True),
                                ("state__in", ["pending", "running"]),
                            ),
                            _connector="OR",
                        ),
                        name="jobqueue_run_finished_when_final",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Attempt",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "run_id", "number", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("number", models.IntegerField()),
                ("worker", models.CharField(max_length=255)),
                ("started_at", models.DateTimeField()),
                ("finished_at", models.DateTimeField()),
                ("outcome", models.CharField(max_length=16)),
                ("error", models.TextField(blank=True, null=True)),
                ("traceback", models.TextField(blank=True, null=True)),
                (
                    "run",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="attempts",
                        to="django_jobqueue.run",
                    ),
                ),
            ],
            options={
                "db_table": "jobqueue_attempt",
                "ordering": ["run_id", "number"],
            },
        ),
        migrations.CreateModel(
            name="QueueState",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("namespace", django_jobqueue.models.fields.NameField(default="default", max_length=64)),
                ("queue", django_jobqueue.models.fields.NameField(max_length=100)),
                ("job", django_jobqueue.models.fields.NameField(blank=True, default="", max_length=200)),
                ("paused_at", models.DateTimeField(blank=True, null=True)),
                ("paused_until", models.DateTimeField(blank=True, null=True)),
                ("concurrent_jobs", models.IntegerField(blank=True, null=True)),
                ("concurrent_jobs_until", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "db_table": "jobqueue_queue_state",
                "constraints": [
                    models.UniqueConstraint(fields=("namespace", "queue", "job"), name="jobqueue_queue_state_name")
                ],
            },
        ),
        migrations.CreateModel(
            name="Worker",
            fields=[
                ("name", models.CharField(max_length=255, primary_key=True, serialize=False)),
                ("namespace", django_jobqueue.models.fields.NameField(default="default", max_length=64)),
                ("queues", models.JSONField(default=list)),
                ("concurrency", models.IntegerField()),
                ("running", models.IntegerField(default=0)),
                ("started_at", models.DateTimeField()),
                ("heartbeat_at", models.DateTimeField()),
            ],
            options={
                "db_table": "jobqueue_worker",
            },
        ),
        migrations.CreateModel(
            name="LimitBucket",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("namespace", django_jobqueue.models.fields.NameField(default="default", max_length=64)),
                ("key", django_jobqueue.models.fields.NameField(max_length=320)),
                ("tokens", models.FloatField()),
                ("updated_at", models.DateTimeField()),
            ],
            options={
                "db_table": "jobqueue_limit_bucket",
                "constraints": [models.UniqueConstraint(fields=("namespace", "key"), name="jobqueue_limit_bucket_key")],
            },
        ),
        migrations.CreateModel(
            name="IdempotencyKey",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("namespace", django_jobqueue.models.fields.NameField(default="default", max_length=64)),
                ("key_hash", django_jobqueue.models.fields.NameField(max_length=64)),
                ("arguments_hash", django_jobqueue.models.fields.NameField(max_length=64)),
                ("run_id", models.BigIntegerField()),
                ("expires_at", models.DateTimeField()),
            ],
            options={
                "db_table": "jobqueue_idempotency_key",
                "indexes": [models.Index(fields=["expires_at"], name="jobqueue_idempotency_expiry")],
                "constraints": [
                    models.UniqueConstraint(fields=("namespace", "key_hash"), name="jobqueue_idempotency_key_hash")
                ],
            },
        ),
        migrations.CreateModel(
            name="Activity",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("namespace", django_jobqueue.models.fields.NameField(default="default", max_length=64)),
                ("operation", django_jobqueue.models.fields.NameField(max_length=64)),
                ("actor", models.CharField(max_length=255)),
                ("reason", models.TextField(blank=True, default="")),
                ("queue", django_jobqueue.models.fields.NameField(blank=True, max_length=100, null=True)),
                ("run_id", models.BigIntegerField(blank=True, null=True)),
                ("schedule_name", django_jobqueue.models.fields.NameField(blank=True, max_length=200, null=True)),
                ("detail", models.JSONField(blank=True, default=dict)),
                ("created_at", models.DateTimeField()),
            ],
            options={
                "verbose_name_plural": "activities",
                "db_table": "jobqueue_activity",
                "indexes": [
                    models.Index(fields=["namespace", "-created_at"], name="jobqueue_activity_recent"),
                    models.Index(fields=["run_id"], name="jobqueue_activity_run"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Stat",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("namespace", django_jobqueue.models.fields.NameField(default="default", max_length=64)),
                ("minute", models.DateTimeField()),
                ("queue", django_jobqueue.models.fields.NameField(max_length=100)),
                ("job", django_jobqueue.models.fields.NameField(max_length=200)),
                ("outcome", models.CharField(max_length=16)),
                ("count", models.BigIntegerField()),
                ("total_seconds", models.FloatField(default=0)),
            ],
            options={
                "db_table": "jobqueue_stat",
                "indexes": [models.Index(fields=["namespace", "minute"], name="jobqueue_stat_minute")],
            },
        ),
    ]
