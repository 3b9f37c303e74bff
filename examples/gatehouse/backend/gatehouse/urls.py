"""Where everything is. The server in front sends us /api, /oauth2 and /.well-known, and answers the rest itself."""

from django.urls import include, path, re_path
from oauth2_provider import views as oauth2

# The names are those that the provider library looks its own pages up by.
provider = [
    re_path(
        r"^\.well-known/openid-configuration/?$",
        oauth2.ConnectDiscoveryInfoView.as_view(),
        name="oidc-connect-discovery-info",
    ),
    path("oauth2/authorize", oauth2.AuthorizationView.as_view(), name="authorize"),
    path("oauth2/token", oauth2.TokenView.as_view(), name="token"),
    path("oauth2/revoke", oauth2.RevokeTokenView.as_view(), name="revoke-token"),
    path("oauth2/introspect", oauth2.IntrospectTokenView.as_view(), name="introspect"),
    path("oauth2/userinfo", oauth2.UserInfoView.as_view(), name="user-info"),
    path("oauth2/jwks", oauth2.JwksInfoView.as_view(), name="jwks-info"),
    path("oauth2/end-session", oauth2.RPInitiatedLogoutView.as_view(), name="rp-initiated-logout"),
]

urlpatterns = [
    path("", include((provider, "oauth2_provider"), namespace="oauth2_provider")),
    path("api/v1/", include("gatehouse.api.urls")),
]
