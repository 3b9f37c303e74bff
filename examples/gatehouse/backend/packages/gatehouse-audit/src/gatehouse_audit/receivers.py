"""Events that Django's own signals tell of."""

from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.dispatch import Signal, receiver

from .models import Event
from .record import record

recorded = Signal()  # sent with event= once a sign-in is on record


@receiver(user_logged_in)
def signed_in(sender, request, user, **kwargs):
    recorded.send(Event, event=record(Event.Kind.SIGNED_IN, request, user))


@receiver(user_logged_out)
def signed_out(sender, request, user, **kwargs):
    if user is not None:
        record(Event.Kind.SIGNED_OUT, request, user)


@receiver(user_login_failed)
def sign_in_refused(sender, credentials, request=None, **kwargs):
    record(Event.Kind.SIGN_IN_REFUSED, request, username=str(credentials.get("username", "")))
