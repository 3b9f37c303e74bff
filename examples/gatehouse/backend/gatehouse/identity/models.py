import uuid

from django.contrib.auth.models import AbstractUser
from django.db import models


class User(AbstractUser):
    """A person. The id is what relying parties know the person by, so it is no number that tells how many there are."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)

    class Meta:
        ordering = ["username"]

    @property
    def display_name(self) -> str:
        return self.get_full_name() or self.username


class Notice(models.Model):
    """A word to a user about a sign-in from somewhere new. The worker delivers it."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="notices")
    event = models.OneToOneField("audit.Event", on_delete=models.CASCADE, related_name="notice")
    delivered = models.DateTimeField(null=True)
    mailed = models.BooleanField(default=False)

    class Meta:
        ordering = ["-event__time"]

    def __str__(self):
        return f"{self.user}: {self.event}"
