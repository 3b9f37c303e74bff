"""The settings, with a data directory of the tests' own. PostgreSQL is where PGHOST and the like say."""

import os
import tempfile
from pathlib import Path

from gatehouse_core.keys import make_keys

_data = tempfile.TemporaryDirectory(prefix="gatehouse-tests-")
make_keys(Path(_data.name))
os.environ["GATEHOUSE_DATA_DIR"] = _data.name

from gatehouse.settings import *  # noqa: E402,F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
