from pathlib import Path

import pytest
from django.core.management import call_command
from gatehouse_audit.export import NAMESPACE
from gatehouse_audit.models import Event
from lxml import etree
from oauth2_provider.models import get_application_model

from .conftest import sign_in


@pytest.fixture
def ask(browser, admin):
    """Ask the API as an administrator, with the CSRF token."""
    sign_in(browser, "root")

    def ask(method, path, body=None):
        token = browser.cookies["gatehouse_csrf"].value
        return getattr(browser, method)(
            f"/api/v1/{path}", body, content_type="application/json", headers={"X-CSRFToken": token}
        )

    return ask


def test_applications(ask):
    made = ask("post", "applications/", {"name": "wiki", "redirect_uris": ["https://wiki.example/callback"]})
    assert made.status_code == 201
    secret, client_id = made.json()["client_secret"], made.json()["client_id"]
    assert secret and secret not in get_application_model().objects.get().client_secret
    path = f"applications/{client_id}/"
    changed = ask("patch", path, {"skip_consent": True, "redirect_uris": ["https://w.example/"]}).json()
    assert (changed["skip_consent"], changed["redirect_uris"]) == (True, ["https://w.example/"])
    assert "client_secret" not in changed
    assert ask("patch", path, {"confidential": False}).status_code == 400
    assert ask("delete", path).status_code == 204
    kinds = Event.objects.filter(subject="wiki").order_by("id").values_list("kind", flat=True)
    assert list(kinds) == ["application-created", "application-changed", "application-deleted"]


@pytest.mark.parametrize("uris", [[], ["no uri"], ["wiki"], ["javascript:alert(1)"], ["https://wiki.example/#part"]])
def test_bad_redirect_uris_are_refused(ask, uris):
    answer = ask("post", "applications/", {"name": "wiki", "redirect_uris": uris})
    assert answer.status_code == 400
    assert "redirect_uris" in answer.json()


def test_users(ask):
    assert ask("post", "users/", {"username": "eve", "password": "short"}).status_code == 400
    made = ask("post", "users/", {"username": "eve", "password": "long enough to guess"})
    assert made.status_code == 201
    assert "password" not in made.json()


def test_events_as_xml(ask, browser):
    browser.get("/api/v1/session/", headers={"User-Agent": "x"})
    Event.objects.create(kind=Event.Kind.SIGNED_OUT, username="<ada>", user_agent="bell\x07")
    document = etree.fromstring(ask("get", "events/export/").content)
    last = document[-1]
    assert last.findtext(f"{{{NAMESPACE}}}user") == "<ada>"
    assert last.findtext(f"{{{NAMESPACE}}}agent") == "bell\N{REPLACEMENT CHARACTER}"


def test_status(browser, db):
    answer = browser.get("/api/v1/status/")
    assert answer.status_code == 200
    assert answer.json()["migrated"]


def test_schema_is_up_to_date(tmp_path):
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(tmp_path / "schema.yml"))
    committed = Path(__file__).parents[2] / "schema.yml"
    assert (tmp_path / "schema.yml").read_text() == committed.read_text(), "run make schema"
