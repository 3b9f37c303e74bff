import os

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from gatehouse.identity.models import User


class Command(BaseCommand):
    help = (
        "Create the first administrator from GATEHOUSE_BOOTSTRAP_USER, _PASSWORD and _EMAIL. Does nothing if they are"
        " unset or if there is an administrator already."
    )

    def handle(self, *args, **options):
        name = os.environ.get("GATEHOUSE_BOOTSTRAP_USER", "")
        password = os.environ.get("GATEHOUSE_BOOTSTRAP_PASSWORD", "")
        if not name and not password:
            return
        if not name or not password:
            raise CommandError("GATEHOUSE_BOOTSTRAP_USER and GATEHOUSE_BOOTSTRAP_PASSWORD: set both or neither.")
        with transaction.atomic():
            if User.objects.filter(is_superuser=True).exists():
                return
            user = User(
                username=name,
                email=os.environ.get("GATEHOUSE_BOOTSTRAP_EMAIL", ""),
                is_staff=True,
                is_superuser=True,
            )
            try:
                validate_password(password, user)
                user.set_password(password)
                user.full_clean()
            except ValidationError as error:
                raise CommandError("GATEHOUSE_BOOTSTRAP_USER: " + " ".join(error.messages)) from None
            user.save()
        self.stdout.write(f"created administrator {name}")
