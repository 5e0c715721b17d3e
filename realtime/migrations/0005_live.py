from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("realtime", "0004_task_log"),
    ]

    operations = [
        migrations.CreateModel(
            name="Live",
            fields=[],
            options={
                "verbose_name": "live dashboard",
                "verbose_name_plural": "live dashboard",
                "proxy": True,
                "default_permissions": (),
                "indexes": [],
                "constraints": [],
            },
            bases=("realtime.node",),
        ),
        migrations.AlterModelOptions(
            name="connection",
            options={"default_permissions": ("view", "delete")},
        ),
        migrations.AlterField(
            model_name="event",
            name="kind",
            field=models.CharField(
                choices=[
                    ("broadcast", "broadcast"),
                    ("broadcast_retracted", "broadcast_retracted"),
                    ("connection_closed", "connection_closed"),
                    ("task_deleted", "task_deleted"),
                    ("task_log", "task_log"),
                    ("task_update", "task_update"),
                    ("user_changed", "user_changed"),
                ],
                max_length=32,
            ),
        ),
        migrations.AddIndex(
            model_name="connection",
            index=models.Index(
                fields=["-behind", "-overflows", "-since", "-id"], name="realtime_connection_slow"
            ),
        ),
    ]
