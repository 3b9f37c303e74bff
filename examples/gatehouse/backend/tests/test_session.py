from gatehouse_audit.models import Event

from gatehouse.identity.models import Notice
from gatehouse.identity.tasks import deliver_notice

from .conftest import PASSWORD, sign_in


def test_signing_in_and_out(browser, ada):
    assert browser.get("/api/v1/session/").json() == {"user": None}
    assert sign_in(browser, "ada").json()["user"]["display_name"] == "Ada L"
    assert browser.get("/api/v1/session/").json()["user"]["username"] == "ada"
    token = browser.cookies["gatehouse_csrf"].value
    assert browser.delete("/api/v1/session/", headers={"X-CSRFToken": token}).status_code == 204
    assert browser.get("/api/v1/session/").json() == {"user": None}


def test_no_one_gets_in_without_csrf_token(browser, ada):
    answer = browser.post(
        "/api/v1/session/", {"username": "ada", "password": PASSWORD}, content_type="application/json"
    )
    assert answer.status_code == 403
    assert "Cross-site" in answer.json()["detail"]


def test_wrong_password_is_refused_and_recorded(browser, ada):
    assert sign_in(browser, "ada", "wrong").status_code == 403
    event = Event.objects.get()
    assert (event.kind, event.username, event.user) == ("sign-in-refused", "ada", None)


def test_inactive_users_are_refused(browser, ada):
    ada.is_active = False
    ada.save()
    assert sign_in(browser, "ada").status_code == 403


def test_users_see_their_notices_only(browser, ada, admin, mailoutbox):
    sign_in(browser, "ada")
    sign_in(browser, "ada")  # from the same place: no second notice
    notice = Notice.objects.get()
    deliver_notice(notice_id=notice.pk)
    deliver_notice(notice_id=notice.pk)
    results = browser.get("/api/v1/notices/").json()["results"]
    assert [result["delivered"] is not None for result in results] == [True]
    assert mailoutbox == []  # there is no relay
    sign_in(browser, "root")
    assert [result["id"] for result in browser.get("/api/v1/notices/").json()["results"]] != [notice.pk]


def test_only_administrators_administer(browser, ada):
    sign_in(browser, "ada")
    for path in ("applications", "users", "events", "events/export"):
        assert browser.get(f"/api/v1/{path}/").status_code == 403, path
