from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("realtime", "0007_snapshots")]

    operations = [
        migrations.AlterModelOptions(
            name="node",
            options={
                "default_permissions": ("view",),
                "verbose_name": "server process",
                "verbose_name_plural": "server processes",
            },
        ),
    ]
