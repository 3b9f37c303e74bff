import pytest
from django.test import Client

from gatehouse.identity.models import User

PASSWORD = "correct horse battery"


@pytest.fixture
def ada(db):
    return User.objects.create_user("ada", "ada@people.example", PASSWORD, first_name="Ada", last_name="L")


@pytest.fixture
def admin(db):
    return User.objects.create_user("root", password=PASSWORD, is_staff=True, is_superuser=True)


@pytest.fixture
def browser():
    """A client that, like a browser, is refused without a CSRF token."""
    return Client(enforce_csrf_checks=True)


def sign_in(browser, username, password=PASSWORD):
    """What the web UI does: read the session, which sets the cookie, then send name and password with the token."""
    browser.get("/api/v1/session/")
    return browser.post(
        "/api/v1/session/",
        {"username": username, "password": password},
        content_type="application/json",
        headers={"X-CSRFToken": browser.cookies["gatehouse_csrf"].value},
    )
