import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Event",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("signed-in", "signed in"),
                            ("signed-out", "signed out"),
                            ("sign-in-refused", "sign-in refused"),
                            ("application-created", "application created"),
                            ("application-changed", "application changed"),
                            ("application-deleted", "application deleted"),
                        ],
                        max_length=32,
                    ),
                ),
                ("time", models.DateTimeField(auto_now_add=True, db_index=True)),
                (
                    "user",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("username", models.CharField(blank=True, max_length=150)),
                ("client_ip", models.GenericIPAddressField(null=True)),
                ("user_agent", models.CharField(blank=True, max_length=300)),
                ("subject", models.CharField(blank=True, max_length=200)),
            ],
            options={
                "ordering": ["-time", "-id"],
            },
        ),
    ]
