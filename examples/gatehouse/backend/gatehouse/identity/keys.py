"""Whether there are keys. `gatehouse migrate` makes them, so commands must run without; answering requests must not."""

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


def require_keys():
    missing = []
    if settings.SECRET_KEY == settings.NO_SECRET_KEY:
        missing.append("secret key (GATEHOUSE_SECRET_KEY)")
    if not settings.SIGNING_KEY:
        missing.append("signing key (GATEHOUSE_SIGNING_KEY)")
    if missing:
        raise ImproperlyConfigured(
            f"{settings.CONFIG.data_dir} has no {' and no '.join(missing)}. Run `gatehouse migrate` once."
        )
