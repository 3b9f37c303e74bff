import sys
from datetime import timedelta

from django.core.management.base import BaseCommand
from django.utils import timezone

from gatehouse_audit.export import export
from gatehouse_audit.models import Event


class Command(BaseCommand):
    help = "Write the audit events of the last days to standard output, as XML."

    def add_arguments(self, parser):
        parser.add_argument("--days", type=int, default=30)

    def handle(self, *args, days, **options):
        now = timezone.now()
        events = Event.objects.filter(time__gte=now - timedelta(days=days)).order_by("time", "id")
        sys.stdout.buffer.write(export(events.iterator(), now))
