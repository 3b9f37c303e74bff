"""Writing events."""

import ipaddress

from .models import Event


def client_ip(request) -> str | None:
    """The address the request came from, as the server in front saw it; None if nobody told."""
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2].strip()
    try:
        return str(ipaddress.ip_address(forwarded or request.META.get("REMOTE_ADDR", "")))
    except ValueError:
        return None


def record(kind: Event.Kind, request=None, user=None, username: str = "", subject: str = "") -> Event:
    """Write an event. user may be anonymous or None; username is for when there is a name but no such user."""
    known = user if user is not None and user.is_authenticated else None
    return Event.objects.create(
        kind=kind,
        user=known,
        username=(known.get_username() if known else username)[:150],
        client_ip=client_ip(request) if request is not None else None,
        user_agent=request.META.get("HTTP_USER_AGENT", "")[:300] if request is not None else "",
        subject=subject[:200],
    )
