import json

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from oauth2_provider.models import get_application_model

from gatehouse.oauth2.clients import new_client


class Command(BaseCommand):
    help = "Create an OAuth2 client, and print its id and secret as JSON. The secret is not shown again."

    def add_arguments(self, parser):
        parser.add_argument("name")
        parser.add_argument("--redirect-uri", action="append", required=True, dest="redirect_uris", metavar="URI")
        parser.add_argument("--public", action="store_true", help="a client that can keep no secret, such as an app")
        parser.add_argument("--skip-consent", action="store_true", help="do not ask users whether they agree")

    def handle(self, *args, name, redirect_uris, public, skip_consent, **options):
        if get_application_model().objects.filter(name=name).exists():
            raise CommandError(f"There is a client named {name} already.")
        try:
            client, secret = new_client(
                name=name, redirect_uris=redirect_uris, confidential=not public, skip_authorization=skip_consent
            )
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        answer = {"client_id": client.client_id}
        if secret:
            answer["client_secret"] = secret
        self.stdout.write(json.dumps(answer))
