from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("django_jobqueue", "0014_declarations"),
    ]

    operations = [
        migrations.AddField(
            model_name="run",
            name="cancel_forced",
            field=models.BooleanField(blank=True, null=True),
        ),
    ]
