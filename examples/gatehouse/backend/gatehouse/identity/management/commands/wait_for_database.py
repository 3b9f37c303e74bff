import time

from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connection


class Command(BaseCommand):
    help = "Wait until PostgreSQL accepts connections."
    requires_system_checks = []

    def add_arguments(self, parser):
        parser.add_argument("--seconds", type=int, default=60)

    def handle(self, *args, seconds, **options):
        end = time.monotonic() + seconds
        while True:
            try:
                connection.ensure_connection()
                return
            except OperationalError as error:
                if time.monotonic() >= end:
                    raise CommandError(f"connect to the database: {error}") from None
            time.sleep(1)
