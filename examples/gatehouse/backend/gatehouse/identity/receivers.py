"""A sign-in from an address or a browser that a user has not used lately makes a notice."""

from datetime import timedelta
from functools import partial

from django.db import transaction
from django.dispatch import receiver
from gatehouse_audit.models import Event
from gatehouse_audit.receivers import recorded

from .models import Notice
from .tasks import deliver_notice

LATELY = timedelta(days=30)


@receiver(recorded)
def notice_sign_in(sender, event, **kwargs):
    before = Event.objects.filter(
        kind=Event.Kind.SIGNED_IN,
        user=event.user,
        client_ip=event.client_ip,
        user_agent=event.user_agent,
        time__gte=event.time - LATELY,
    ).exclude(pk=event.pk)
    if before.exists():
        return
    notice = Notice.objects.create(user=event.user, event=event)
    transaction.on_commit(partial(deliver_notice.defer, notice_id=notice.pk))
