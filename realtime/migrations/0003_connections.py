from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("realtime", "0002_doors"),
    ]

    operations = [
        migrations.CreateModel(
            name="Connection",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("node_id", models.UUIDField(db_index=True)),
                ("user_id", models.CharField(db_index=True, max_length=64)),
                ("transport", models.CharField(max_length=16)),
                ("format", models.CharField(max_length=16)),
                ("address", models.CharField(max_length=64)),
                ("since", models.DateTimeField()),
                ("seen_at", models.DateTimeField()),
                ("tasks", models.PositiveIntegerField(default=0)),
                ("topics", models.JSONField(default=list)),
                ("position", models.BigIntegerField()),
                ("sent", models.PositiveBigIntegerField(default=0)),
                ("behind", models.BooleanField(default=False)),
                ("overflows", models.PositiveBigIntegerField(default=0)),
                ("rtt_last_ms", models.FloatField(null=True)),
                ("rtt_mean_ms", models.FloatField(null=True)),
            ],
            options={
                "default_permissions": ("view",),
            },
        ),
    ]
