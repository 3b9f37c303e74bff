from django.apps import AppConfig


class IdentityConfig(AppConfig):
    name = "gatehouse.identity"
    label = "identity"

    def ready(self):
        from . import receivers  # noqa: F401  connects the signals
