"""Making OAuth2 clients, for the API and the command line alike."""

from oauth2_provider.generators import generate_client_secret
from oauth2_provider.models import get_application_model


def new_client(*, name: str, redirect_uris: list[str], confidential: bool = True, **fields):
    """Save a client for the authorization code flow, and return it with its secret ("" if it is public).

    Only a hash of the secret is kept.
    """
    Application = get_application_model()
    secret = generate_client_secret() if confidential else ""
    client = Application(
        name=name,
        redirect_uris=" ".join(redirect_uris),
        client_type=Application.CLIENT_CONFIDENTIAL if confidential else Application.CLIENT_PUBLIC,
        client_secret=secret,
        authorization_grant_type=Application.GRANT_AUTHORIZATION_CODE,
        algorithm=Application.RS256_ALGORITHM,
        **fields,
    )
    client.full_clean(exclude=["client_secret"])
    client.save()
    return client, secret
