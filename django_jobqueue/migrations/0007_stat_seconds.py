from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_jobqueue", "0006_view_payload")]

    operations = [migrations.AddField(model_name="stat", name="seconds", field=models.IntegerField(default=60))]
