from pathlib import Path

import pytest
from gatehouse_core.config import Config, ConfigError
from gatehouse_core.keys import make_keys, read_secret_key, read_signing_key


def test_database_by_url():
    url = "postgresql://ada:p%40ss@db.example:5433/gate?sslmode=require"
    database = Config.from_env({"GATEHOUSE_DATABASE_URL": url}).database
    assert (database.name, database.user, database.password) == ("gate", "ada", "p@ss")
    assert (database.host, database.port, database.options) == ("db.example", "5433", {"sslmode": "require"})


def test_database_by_socket():
    database = Config.from_env({"GATEHOUSE_DATABASE_URL": "postgresql://ada@/gate?host=/run/pg"}).database
    assert (database.host, database.port, database.options) == ("/run/pg", "", {})


def test_database_by_libpq_names():
    database = Config.from_env({"PGHOST": "db.example", "PGUSER": "ada"}).database
    assert (database.name, database.user, database.host) == ("gatehouse", "ada", "db.example")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GATEHOUSE_DATABASE_URL", "mysql://db.example/gate"),
        ("GATEHOUSE_DATABASE_URL", "postgresql://db.example:port/gate"),
        ("GATEHOUSE_DATABASE_URL", "postgresql://db.example"),
        ("GATEHOUSE_EXTERNAL_URL", "sign-in.example"),
        ("GATEHOUSE_EXTERNAL_URL", "https://sign-in.example/path"),
        ("GATEHOUSE_DEBUG", "perhaps"),
        ("GATEHOUSE_ACCESS_TOKEN_SECONDS", "0"),
        ("GATEHOUSE_ACCESS_TOKEN_SECONDS", "soon"),
    ],
)
def test_nonsense_is_refused_by_name(variable, value):
    with pytest.raises(ConfigError, match=variable):
        Config.from_env({variable: value})


def test_keys_are_made_once(tmp_path: Path):
    data = tmp_path / "data"
    assert read_signing_key(data) == ""
    assert len(make_keys(data)) == 2
    before = read_signing_key(data), read_secret_key(data)
    assert make_keys(data) == []
    assert (read_signing_key(data), read_secret_key(data)) == before
    assert sorted(path.name for path in data.iterdir()) == ["secret-key", "signing-key.pem"]
    assert {path.stat().st_mode & 0o777 for path in data.iterdir()} == {0o600}
