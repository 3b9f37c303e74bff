"""What the worker does. Jobs wait in PostgreSQL, so what was asked for is done even if the worker is down meanwhile."""

import logging

from django.conf import settings
from django.contrib.sessions.models import Session
from django.core.mail import send_mail
from django.db import transaction
from django.utils import timezone
from oauth2_provider.models import clear_expired
from procrastinate import RetryStrategy
from procrastinate.contrib.django import app

from .models import Notice

log = logging.getLogger(__name__)


@app.task(queue="notices", retry=RetryStrategy(max_attempts=8, exponential_wait=4))
def deliver_notice(notice_id: int):
    """Mail a notice if there is a relay and an address; in any case the user's own page shows it from now on."""
    with transaction.atomic():
        # The lock keeps a job that was started twice from mailing twice.
        notice = (
            Notice.objects.select_for_update(of=("self",))
            .select_related("user", "event")
            .filter(pk=notice_id, delivered=None)
            .first()
        )
        if notice is None:  # its user is gone, or it was delivered
            return
        if settings.CONFIG.mail and notice.user.email:
            send_mail("A new sign-in to your account", _text(notice), None, [notice.user.email])
            notice.mailed = True
        notice.delivered = timezone.now()
        notice.save(update_fields=["delivered", "mailed"])
    log.info("notice %d delivered", notice_id)


@app.periodic(cron="*/15 * * * *", periodic_id="clear_expired")
@app.task(queue="upkeep", queueing_lock="clear_expired")
def clear(timestamp: int):
    """Delete tokens, grants and sessions that nobody can use any more."""
    clear_expired()
    gone, _ = Session.objects.filter(expire_date__lt=timezone.now()).delete()
    log.info("%d sessions had expired", gone)


def _text(notice: Notice) -> str:
    event = notice.event
    return (
        f"Hello {notice.user.display_name},\n\n"
        f"on {event.time:%Y-%m-%d at %H:%M} UTC somebody signed in to your account\n"
        f"from {event.client_ip or 'an unknown address'} with {event.user_agent or 'an unknown program'}.\n\n"
        "If that was you, there is nothing to do. If not, change your password.\n"
    )
