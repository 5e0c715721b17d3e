from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("realtime", "0005_live"),
    ]

    operations = [
        migrations.AddField(
            model_name="event",
            name="topic",
            field=models.CharField(blank=True, max_length=100, null=True),
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
                    ("topic_event", "topic_event"),
                    ("user_changed", "user_changed"),
                ],
                max_length=32,
            ),
        ),
        migrations.AddIndex(
            model_name="event",
            index=models.Index(
                condition=models.Q(("topic__isnull", False)),
                fields=["topic", "position"],
                name="realtime_event_topic",
            ),
        ),
    ]
