"""Gatehouse's configuration, read from the environment once.

Every variable is described in the README. A value that makes no sense is a ``ConfigError`` that names the variable, so
that a typing mistake stops the start instead of surfacing at the first sign-in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit


class ConfigError(Exception):
    """The environment says something Gatehouse cannot work with."""


@dataclass(frozen=True)
class Database:
    """Where PostgreSQL is. ``options`` go to libpq as they are: ``sslmode``, ``connect_timeout`` and so on."""

    name: str
    user: str
    password: str
    host: str
    port: str
    options: Mapping[str, str]


@dataclass(frozen=True)
class Mail:
    """The relay that notices are mailed through."""

    host: str
    port: int
    sender: str


@dataclass(frozen=True)
class Config:
    data_dir: Path
    database: Database
    secret_key: str  # "" if it is kept in the data directory
    signing_key: str  # PEM; "" if it is kept in the data directory
    external_url: str  # scheme and host without a trailing slash, "" to take them from each request
    access_token_seconds: int  # how long an application's access token lives
    mail: Mail | None
    debug: bool

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Config":
        return cls(
            data_dir=Path(env.get("GATEHOUSE_DATA_DIR") or "/data"),
            database=_database(env),
            secret_key=env.get("GATEHOUSE_SECRET_KEY", ""),
            signing_key=env.get("GATEHOUSE_SIGNING_KEY", ""),
            external_url=_external_url(env.get("GATEHOUSE_EXTERNAL_URL", "")),
            access_token_seconds=_seconds(env, "GATEHOUSE_ACCESS_TOKEN_SECONDS", 10 * 60),
            mail=_mail(env),
            debug=_flag(env, "GATEHOUSE_DEBUG"),
        )


def _database(env: Mapping[str, str]) -> Database:
    url = env.get("GATEHOUSE_DATABASE_URL", "")
    if url:
        return _database_url(url)
    # The names that libpq's own programs use, so that psql and Gatehouse share one set.
    return Database(
        name=env.get("PGDATABASE") or "gatehouse",
        user=env.get("PGUSER") or "gatehouse",
        password=env.get("PGPASSWORD", ""),
        host=env.get("PGHOST", ""),
        port=env.get("PGPORT", ""),
        options={},
    )


def _database_url(url: str) -> Database:
    try:
        parts = urlsplit(url)
        port = str(parts.port or "")
    except ValueError as error:
        raise ConfigError(f"GATEHOUSE_DATABASE_URL: {error}") from None
    if parts.scheme not in ("postgresql", "postgres"):
        raise ConfigError("GATEHOUSE_DATABASE_URL: it must begin with postgresql://")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    # A folder with a Unix socket cannot stand where a host name does, so libpq takes it as a parameter, and so do we.
    host = options.pop("host", "") or unquote(parts.hostname or "")
    name = unquote(parts.path.lstrip("/"))
    if not name:
        raise ConfigError("GATEHOUSE_DATABASE_URL: it names no database")
    return Database(
        name=name,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        host=host,
        port=options.pop("port", "") or port,
        options=options,
    )


def _external_url(url: str) -> str:
    if not url:
        return ""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/") or parts.query:
        raise ConfigError("GATEHOUSE_EXTERNAL_URL: it must be a scheme and a host, such as https://sign-in.example")
    return f"{parts.scheme}://{parts.netloc}"


def _mail(env: Mapping[str, str]) -> Mail | None:
    host = env.get("GATEHOUSE_SMTP_HOST", "")
    if not host:
        return None
    port = env.get("GATEHOUSE_SMTP_PORT") or "25"
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigError(f"GATEHOUSE_SMTP_PORT: {port!r} is no port")
    sender = env.get("GATEHOUSE_SMTP_FROM", "")
    if "@" not in sender:
        raise ConfigError("GATEHOUSE_SMTP_FROM: it must be an address, since GATEHOUSE_SMTP_HOST is set")
    return Mail(host=host, port=int(port), sender=sender)


def _seconds(env: Mapping[str, str], name: str, default: int) -> int:
    value = env.get(name) or str(default)
    if not value.isdecimal() or not 0 < int(value) <= 24 * 60 * 60:
        raise ConfigError(f"{name}: {value!r} is no number of seconds from 1 to 86400")
    return int(value)


def _flag(env: Mapping[str, str], name: str) -> bool:
    value = env.get(name, "").lower()
    if value in ("", "0", "false", "no"):
        return False
    if value in ("1", "true", "yes"):
        return True
    raise ConfigError(f"{name}: {value!r} is neither true nor false")
