from oauth2_provider.oauth2_validators import OAuth2Validator


class Validator(OAuth2Validator):
    """Says what relying parties learn about a user, and for which scope. The subject is the user's id."""

    oidc_claim_scope = OAuth2Validator.oidc_claim_scope | {
        "name": "profile",
        "preferred_username": "profile",
        "email": "email",
    }

    def get_additional_claims(self):
        return {
            "name": lambda request: request.user.display_name,
            "preferred_username": lambda request: request.user.username,
            "email": lambda request: request.user.email,
        }
