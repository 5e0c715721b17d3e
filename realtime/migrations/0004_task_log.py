import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("realtime", "0003_connections"),
    ]

    operations = [
        migrations.CreateModel(
            name="TaskLog",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("number", models.PositiveBigIntegerField()),
                (
                    "level",
                    models.CharField(
                        choices=[
                            ("debug", "debug"),
                            ("info", "info"),
                            ("warning", "warning"),
                            ("error", "error"),
                        ],
                        max_length=8,
                    ),
                ),
                ("text", models.TextField()),
                ("truncated", models.BooleanField(default=False)),
                ("created_at", models.DateTimeField()),
                (
                    "task",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="lines",
                        to="realtime.task",
                    ),
                ),
            ],
            options={
                "ordering": ("task", "number"),
                "default_permissions": (),
            },
        ),
        migrations.AddConstraint(
            model_name="tasklog",
            constraint=models.UniqueConstraint(fields=("task", "number"), name="realtime_tasklog_number"),
        ),
        migrations.AlterField(
            model_name="event",
            name="kind",
            field=models.CharField(
                choices=[
                    ("broadcast", "broadcast"),
                    ("broadcast_retracted", "broadcast_retracted"),
                    ("task_deleted", "task_deleted"),
                    ("task_log", "task_log"),
                    ("task_update", "task_update"),
                    ("user_changed", "user_changed"),
                ],
                max_length=32,
            ),
        ),
    ]
