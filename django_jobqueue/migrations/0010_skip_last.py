from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("django_jobqueue", "0009_limits"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="skip",
            index=models.Index(fields=["last_at"], name="jobqueue_skip_last"),
        ),
    ]
