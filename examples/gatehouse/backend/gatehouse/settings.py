"""Django's settings, all of which follow from gatehouse_core's Config."""

import os
from pathlib import Path
from urllib.parse import urlsplit

from gatehouse_core.config import Config
from gatehouse_core.keys import read_secret_key, read_signing_key

from gatehouse import __version__

CONFIG = Config.from_env(os.environ)

BASE_DIR = Path(__file__).resolve().parent
DEBUG = CONFIG.debug
ROOT_URLCONF = "gatehouse.urls"
WSGI_APPLICATION = "gatehouse.wsgi.application"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"

# There are no keys until `gatehouse migrate` has made them. Django insists on a secret key even for that; the WSGI
# application refuses to start with this one (gatehouse.identity.keys).
NO_SECRET_KEY = "unset"
SECRET_KEY = CONFIG.secret_key or read_secret_key(CONFIG.data_dir) or NO_SECRET_KEY
SIGNING_KEY = CONFIG.signing_key or read_signing_key(CONFIG.data_dir)

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "gatehouse.identity",
    "gatehouse_audit.apps.AuditConfig",
    "gatehouse.api",
    "oauth2_provider",
    "rest_framework",
    "drf_spectacular",
    "procrastinate.contrib.django",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    }
]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": CONFIG.database.name,
        "USER": CONFIG.database.user,
        "PASSWORD": CONFIG.database.password,
        "HOST": CONFIG.database.host,
        "PORT": CONFIG.database.port,
        "OPTIONS": dict(CONFIG.database.options),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Who asks, and from where

# The server in front sets these on every request, whatever the client sent.
USE_X_FORWARDED_HOST = True
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
if CONFIG.external_url:
    ALLOWED_HOSTS = [urlsplit(CONFIG.external_url).hostname, "localhost", "127.0.0.1", "[::1]"]
    CSRF_TRUSTED_ORIGINS = [CONFIG.external_url]
else:
    ALLOWED_HOSTS = ["*"]

_https = CONFIG.external_url.startswith("https://")
SESSION_COOKIE_NAME = "gatehouse_session"
SESSION_COOKIE_SECURE = _https
SESSION_COOKIE_AGE = 12 * 60 * 60
CSRF_COOKIE_NAME = "gatehouse_csrf"
CSRF_COOKIE_SECURE = _https
CSRF_FAILURE_VIEW = "gatehouse.api.views.csrf_failure"
# The web UI is same-origin by design; it reads the CSRF cookie and sends it as X-CSRFToken.
CSRF_COOKIE_HTTPONLY = False
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

AUTH_USER_MODEL = "identity.User"
LOGIN_URL = "/login"  # a page of the web UI
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
]

# --- OAuth2 and OpenID Connect

OAUTH2_PROVIDER = {
    "OAUTH2_VALIDATOR_CLASS": "gatehouse.oauth2.validator.Validator",
    "OIDC_ENABLED": True,
    "OIDC_ISS_ENDPOINT": CONFIG.external_url,
    "OIDC_RSA_PRIVATE_KEY": SIGNING_KEY,
    "OIDC_RP_INITIATED_LOGOUT_ENABLED": True,
    "OIDC_RESPONSE_TYPES_SUPPORTED": ["code"],
    "PKCE_REQUIRED": True,
    "SCOPES": {
        "openid": "know that it is you",
        "profile": "see your name",
        "email": "see your e-mail address",
    },
    "DEFAULT_SCOPES": ["openid"],
    "ALLOWED_REDIRECT_URI_SCHEMES": ["https", "http"],
    "ACCESS_TOKEN_EXPIRE_SECONDS": CONFIG.access_token_seconds,
    "AUTHORIZATION_CODE_EXPIRE_SECONDS": 60,
    "REFRESH_TOKEN_EXPIRE_SECONDS": 30 * 24 * 60 * 60,
    "ROTATE_REFRESH_TOKEN": True,
    "REFRESH_TOKEN_REUSE_PROTECTION": True,
}

# --- The API

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.SessionAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_PAGINATION_CLASS": "gatehouse.api.pagination.Pages",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_THROTTLE_RATES": {"sign-in": "30/min"},
    "NUM_PROXIES": 1,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Gatehouse",
    "DESCRIPTION": "The API that Gatehouse's web UI and server use.",
    "VERSION": __version__,
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {"EventKind": "gatehouse_audit.models.Event.Kind"},
    "OAS_VERSION": "3.0.3",
}

# --- Notices

if CONFIG.mail:
    EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    EMAIL_HOST = CONFIG.mail.host
    EMAIL_PORT = CONFIG.mail.port
    EMAIL_TIMEOUT = 20
    DEFAULT_FROM_EMAIL = CONFIG.mail.sender

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    # These two tell at every start, of any command, what tasks there are.
    "loggers": {
        "procrastinate.blueprints": {"level": "WARNING"},
        "procrastinate.periodic": {"level": "WARNING"},
    },
}
