import base64
import hashlib
import json
from urllib.parse import parse_qs, urlsplit

import pytest
from jwcrypto import jwk, jws

from gatehouse.oauth2.clients import new_client

from .conftest import sign_in

VERIFIER = "v" * 64
CALLBACK = "https://party.example/callback"


@pytest.fixture
def party(db):
    client, secret = new_client(name="party", redirect_uris=[CALLBACK], skip_authorization=True)
    credentials = base64.b64encode(f"{client.client_id}:{secret}".encode()).decode()
    client.headers = {"Authorization": f"Basic {credentials}"}
    return client


def authorize(browser, party, **changes):
    challenge = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
    request = {
        "response_type": "code",
        "client_id": party.client_id,
        "redirect_uri": CALLBACK,
        "scope": "openid profile email",
        "state": "s",
        "nonce": "n",
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    return browser.get("/oauth2/authorize", {k: v for k, v in (request | changes).items() if v is not None})


def code_of(answer):
    place = urlsplit(answer["Location"])
    assert answer["Location"].startswith(CALLBACK)
    return parse_qs(place.query)["code"][0]


def token(browser, party, **fields):
    return browser.post("/oauth2/token", {"redirect_uri": CALLBACK, **fields}, headers=party.headers)


def test_the_whole_way(browser, ada, party):
    discovery = browser.get("/.well-known/openid-configuration").json()
    assert discovery["issuer"] == "http://testserver"
    assert discovery["response_types_supported"] == ["code"]

    assert authorize(browser, party)["Location"].startswith("/login?next=/oauth2/authorize")
    sign_in(browser, "ada")
    code = code_of(authorize(browser, party))
    tokens = token(browser, party, grant_type="authorization_code", code=code, code_verifier=VERIFIER).json()

    keys = jwk.JWKSet.from_json(browser.get(urlsplit(discovery["jwks_uri"]).path).content.decode())
    signed = jws.JWS()
    signed.deserialize(tokens["id_token"])
    signed.verify(keys.get_key(signed.jose_header["kid"]))
    claims = json.loads(signed.payload)
    assert (claims["sub"], claims["nonce"], claims["aud"]) == (str(ada.pk), "n", party.client_id)

    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert browser.get("/oauth2/userinfo", headers=bearer).json() == {
        "sub": str(ada.pk),
        "name": "Ada L",
        "preferred_username": "ada",
        "email": "ada@people.example",
    }
    fresh = token(browser, party, grant_type="refresh_token", refresh_token=tokens["refresh_token"]).json()
    bearer = {"Authorization": f"Bearer {fresh['access_token']}"}
    assert browser.get("/oauth2/userinfo", headers=bearer).status_code == 200


def test_a_wrong_verifier_is_refused(browser, ada, party):
    sign_in(browser, "ada")
    code = code_of(authorize(browser, party))
    answer = token(browser, party, grant_type="authorization_code", code=code, code_verifier="w" * 64)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


def test_pkce_is_required(browser, ada, party):
    sign_in(browser, "ada")
    answer = authorize(browser, party, code_challenge=None, code_challenge_method=None)
    assert "error=invalid_request" in answer["Location"]


def test_a_strange_redirect_uri_is_refused_without_redirect(browser, ada, party):
    sign_in(browser, "ada")
    assert authorize(browser, party, redirect_uri="https://elsewhere.example/").status_code == 400


def test_users_are_asked_for_consent(browser, ada, party):
    party.skip_authorization = False
    party.save()
    sign_in(browser, "ada")
    page = authorize(browser, party).content.decode()
    assert "Let party know who you are?" in page
    assert "see your e-mail address" in page
