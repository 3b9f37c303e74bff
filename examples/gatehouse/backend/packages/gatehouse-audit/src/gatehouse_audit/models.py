from django.conf import settings
from django.db import models


class Event(models.Model):
    """Something that happened, as it was seen then: a name stays in the record when its user is gone."""

    class Kind(models.TextChoices):
        SIGNED_IN = "signed-in", "signed in"
        SIGNED_OUT = "signed-out", "signed out"
        SIGN_IN_REFUSED = "sign-in-refused", "sign-in refused"
        APPLICATION_CREATED = "application-created", "application created"
        APPLICATION_CHANGED = "application-changed", "application changed"
        APPLICATION_DELETED = "application-deleted", "application deleted"

    kind = models.CharField(max_length=32, choices=Kind)
    time = models.DateTimeField(auto_now_add=True, db_index=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    username = models.CharField(max_length=150, blank=True)
    client_ip = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=300, blank=True)
    subject = models.CharField(max_length=200, blank=True)  # what it happened to, if not to the user

    class Meta:
        ordering = ["-time", "-id"]

    def __str__(self):
        return f"{self.time:%Y-%m-%d %H:%M:%S} {self.kind} {self.username}"
