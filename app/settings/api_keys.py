"""API keys as VAE_API_KEYS and VAE_API_KEYS_FILE list them: only hashes, never a key itself.

A key is 256 random bits from `digit-vae key`, so one round of SHA-256 protects it: a dictionary attack is impossible,
and a slow password hash would only make rejections expensive. Reading the settings, a log of them or a core file does
not reveal a key.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

PREFIX = "vae_"  # so that scanners for leaked secrets, and people, know one when they see it
RANDOM_BYTES = 32
NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
DIGEST = re.compile(r"[0-9a-fA-F]{64}")
FORM = "each key is NAME:HASH, as `digit-vae key NAME` prints it: letters, digits, '.', '_', '-' and 64 hex digits"


@dataclass(frozen=True)
class Key:
    """Name and hash of a key. Several keys may share a name: the old and the new one of the same client."""

    name: str
    digest: bytes  # SHA-256 of the key's ASCII

    def __str__(self) -> str:
        return f"{self.name}:{self.digest.hex()}"


def new_key(name: str) -> tuple[str, Key]:
    """Return a new random key, and its name and hash for the service's settings.

    Raises:
        ValueError: the name is invalid.
    """
    if not NAME.fullmatch(name):
        raise ValueError("A key's name is 1 to 64 letters, digits, '.', '_' or '-'.")
    secret = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    return secret, Key(name, hashlib.sha256(secret.encode()).digest())


def parse_keys(text: str) -> tuple[Key, ...]:
    """Parse keys of the form NAME:HASH, separated by commas or line breaks; `#` begins a comment.

    Raises:
        ValueError: an entry has another form, or there is none: an empty list must not open the service. The message
            does not repeat the text, which may be a key that was put there by mistake.
    """
    lines = (line.partition("#")[0] for line in text.splitlines())
    entries = [entry.strip() for line in lines for entry in line.split(",") if entry.strip()]
    if not entries:
        raise ValueError(f"there is no key in it; unset it to serve without keys ({FORM})")
    return tuple(_key(entry, i) for i, entry in enumerate(entries, 1))


def read_keys(path: str | Path) -> tuple[Key, ...]:
    """Read the keys of a file, as `parse_keys` does.

    Raises:
        ValueError: the file cannot be read, or `parse_keys` rejects its content.
    """
    try:
        return parse_keys(Path(path).read_text("ascii"))
    except OSError as exc:
        raise ValueError(f"the file cannot be read ({exc.strerror})") from exc
    except UnicodeDecodeError:
        raise ValueError(FORM) from None


def _key(entry: str, place: int) -> Key:
    name, _, digest = entry.partition(":")
    if not NAME.fullmatch(name) or not DIGEST.fullmatch(digest):
        raise ValueError(f"entry {place} is no key: {FORM}")
    return Key(name, bytes.fromhex(digest))
