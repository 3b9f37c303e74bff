"""Key material in the data directory: the RSA key that signs ID tokens, and Django's secret key.

Both are made once and never replaced: a new signing key would make every relying party refuse the tokens that are out,
a new secret key would end every session.
"""

import os
import secrets
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

SIGNING_KEY = "signing-key.pem"
SECRET_KEY = "secret-key"


def read_signing_key(data_dir: Path) -> str:
    """The signing key as PEM, "" if there is none yet."""
    return _read(data_dir / SIGNING_KEY)


def read_secret_key(data_dir: Path) -> str:
    """Django's secret key, "" if there is none yet."""
    return _read(data_dir / SECRET_KEY)


def make_keys(data_dir: Path) -> list[Path]:
    """Make the keys that are missing in data_dir, and return the files made."""
    data_dir.mkdir(parents=True, exist_ok=True)
    made = []
    for name, make in ((SIGNING_KEY, _new_signing_key), (SECRET_KEY, _new_secret_key)):
        path = data_dir / name
        if not path.exists() and _write_new(path, make()):
            made.append(path)
    return made


def _new_signing_key() -> bytes:
    key = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _new_secret_key() -> bytes:
    return secrets.token_urlsafe(48).encode() + b"\n"


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""


def _write_new(path: Path, content: bytes) -> bool:
    """Write path unless it exists. Several processes may try at once: one wins, and no one sees half a file."""
    fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        return True
    finally:
        os.unlink(temporary)
