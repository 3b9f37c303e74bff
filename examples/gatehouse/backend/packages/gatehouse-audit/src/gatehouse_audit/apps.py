from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "gatehouse_audit"
    label = "audit"
    verbose_name = "Audit"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self):
        from . import receivers  # noqa: F401  connects the signals
