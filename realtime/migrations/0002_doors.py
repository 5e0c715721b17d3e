import uuid

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import realtime.models.broadcast


class Migration(migrations.Migration):
    dependencies = [
        ("realtime", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Addressee",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("user_id", models.CharField(max_length=64)),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="Broadcast",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                (
                    "type",
                    models.CharField(
                        choices=[
                            ("announcement", "Announcement"),
                            ("alert", "Alert"),
                            ("notification", "Notification"),
                        ],
                        default="announcement",
                        max_length=16,
                    ),
                ),
                (
                    "level",
                    models.CharField(
                        choices=[
                            ("info", "Info"),
                            ("success", "Success"),
                            ("warning", "Warning"),
                            ("critical", "Critical"),
                        ],
                        default="info",
                        max_length=16,
                    ),
                ),
                ("title", models.CharField(blank=True, default="", max_length=200)),
                ("message", models.TextField(max_length=4000)),
                ("data", models.JSONField(blank=True, null=True)),
                ("audience", models.JSONField(default=realtime.models.broadcast.everyone)),
                ("dismissible", models.BooleanField(default=True)),
                ("starts_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("ends_at", models.DateTimeField()),
                ("sender_name", models.CharField(blank=True, default="", max_length=150)),
                ("sender_key", models.CharField(blank=True, default="", editable=False, max_length=64)),
                ("idempotency_key", models.CharField(blank=True, default="", editable=False, max_length=200)),
                ("fingerprint", models.CharField(blank=True, default="", editable=False, max_length=64)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("published_at", models.DateTimeField(editable=False, null=True)),
                ("retracted_at", models.DateTimeField(editable=False, null=True)),
                ("retracted_by", models.CharField(blank=True, default="", editable=False, max_length=150)),
                ("recipient_count", models.PositiveBigIntegerField(editable=False, null=True)),
                ("nodes", models.JSONField(default=list, editable=False)),
                ("complete", models.BooleanField(default=False, editable=False)),
            ],
            options={
                "ordering": ("-created_at", "-id"),
            },
        ),
        migrations.CreateModel(
            name="Node",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                ("host", models.CharField(max_length=255)),
                ("pid", models.PositiveBigIntegerField()),
                ("started_at", models.DateTimeField()),
                ("seen_at", models.DateTimeField(db_index=True)),
            ],
            options={
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="Reach",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("broadcast_id", models.UUIDField()),
                ("node_id", models.UUIDField()),
                ("connections", models.PositiveBigIntegerField()),
                ("created_at", models.DateTimeField(db_index=True)),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="Revocation",
            fields=[
                ("user_id", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("issued_before", models.FloatField()),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="Ticket",
            fields=[
                ("digest", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("user_id", models.CharField(max_length=64)),
                ("credential", models.JSONField()),
                ("expires_with", models.FloatField(null=True)),
                ("expires_at", models.DateTimeField(db_index=True)),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.AlterField(
            model_name="task",
            name="retry_of",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="retries",
                to="realtime.task",
            ),
        ),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(fields=["-created_at", "-id"], name="realtime_task_created"),
        ),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(fields=["status", "-created_at", "-id"], name="realtime_task_in_status"),
        ),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                condition=models.Q(("retry_of__isnull", False)),
                fields=["retry_of"],
                name="realtime_task_retry",
            ),
        ),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                fields=["name", "-created_at"],
                name="realtime_task_name",
                opclasses=["varchar_pattern_ops", "timestamptz_ops"],
            ),
        ),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                condition=models.Q(("lease_expires_at__isnull", False)),
                fields=["lease_expires_at"],
                name="realtime_task_lease",
            ),
        ),
        migrations.AddField(
            model_name="broadcast",
            name="sender",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="addressee",
            name="broadcast",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="addressees",
                to="realtime.broadcast",
            ),
        ),
        migrations.AddConstraint(
            model_name="reach",
            constraint=models.UniqueConstraint(
                fields=("broadcast_id", "node_id"), name="realtime_reach_once"
            ),
        ),
        migrations.AddIndex(
            model_name="broadcast",
            index=models.Index(
                condition=models.Q(("published_at", None), ("retracted_at", None)),
                fields=["starts_at"],
                name="realtime_broadcast_due",
            ),
        ),
        migrations.AddIndex(
            model_name="broadcast",
            index=models.Index(fields=["ends_at"], name="realtime_broadcast_ends"),
        ),
        migrations.AddIndex(
            model_name="broadcast",
            index=models.Index(fields=["-created_at", "-id"], name="realtime_broadcast_created"),
        ),
        migrations.AddConstraint(
            model_name="broadcast",
            constraint=models.UniqueConstraint(
                condition=models.Q(("idempotency_key", ""), _negated=True),
                fields=("sender_key", "idempotency_key"),
                name="realtime_broadcast_once",
            ),
        ),
        migrations.AddIndex(
            model_name="addressee",
            index=models.Index(fields=["user_id", "broadcast"], name="realtime_addressee_user"),
        ),
    ]
