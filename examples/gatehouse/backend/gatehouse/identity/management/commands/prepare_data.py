from django.conf import settings
from django.core.management.base import BaseCommand
from gatehouse_core.keys import make_keys


class Command(BaseCommand):
    help = "Make the keys that the data directory lacks. Needs no database."
    requires_system_checks = []

    def handle(self, *args, **options):
        for path in make_keys(settings.CONFIG.data_dir):
            self.stdout.write(f"made {path}")
