"""The keys that open the service, as VAE_API_KEYS and VAE_API_KEYS_FILE name them: never a key, only its hash.

a request's headers --presented--> what it offers --Keyring.holder--> the name of who calls, or nobody

A key is 256 random bits from `digit-vae key`, so one round of SHA-256 protects it: there is no dictionary to try, and
a slow hash for passwords would only make a refusal dear. Who reads the settings, a log of them or a core file cannot
call.

What a refusal's time tells: an offer is hashed first, which takes as long for a right one as for a wrong one of that
length. Then the digest is compared with every key's, each time to the last byte (hmac.compare_digest) and without
stopping at the one that fits, so the time depends on the number of keys and not on which of them is near. Even a
comparison that did leak would say something of a digest that the caller cannot choose the beginning of.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PREFIX = "vae_"  # so that scanners for leaked secrets, and people, know one when they see it
RANDOM_BYTES = 32
LONGEST = 512  # bytes of an offer; a longer one is no key, and is not worth hashing
NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
DIGEST = re.compile(r"[0-9a-fA-F]{64}")
FORM = "each key is NAME:HASH, as `digit-vae key NAME` prints it: letters, digits, '.', '_', '-' and 64 hex digits"

RawHeaders = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Key:
    """What the service knows of a key. Several may have one name: the old and the new one of the same caller."""

    name: str
    digest: bytes  # SHA-256 of the key's ASCII

    def __str__(self) -> str:
        return f"{self.name}:{self.digest.hex()}"


class Keyring:
    """All keys that are accepted."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = tuple(keys)

    def holder(self, offers: Iterable[bytes]) -> str | None:
        """The name of the key that is among the offers; None if none of them is a key."""
        found = None
        for offer in offers:
            digest = hashlib.sha256(offer).digest()
            for key in self._keys:
                if hmac.compare_digest(key.digest, digest):
                    found = key.name
        return found


def presented(headers: RawHeaders) -> list[bytes]:
    """What a request offers as a key: `Authorization: Bearer KEY` (RFC 6750, 2.1), `X-API-Key: KEY`, or both.

    A proxy may want Authorization for itself, hence the second. Of a header that is repeated the last one counts, so
    there are never more than two; a query parameter is no offer, since addresses are logged.
    """
    bearer = plain = b""
    for name, value in headers:
        if name == b"authorization":
            scheme, _, credentials = value.partition(b" ")
            bearer = credentials.strip() if scheme.lower() == b"bearer" else b""
        elif name == b"x-api-key":
            plain = value.strip()
    return [offer for offer in (bearer, plain) if 0 < len(offer) <= LONGEST]


def new(name: str) -> tuple[str, Key]:
    """A key that nobody has seen, to be given to the caller, and what the service is told of it.

    Raises:
        ValueError: the name is not one.
    """
    if not NAME.fullmatch(name):
        raise ValueError("A key's name is 1 to 64 letters, digits, '.', '_' or '-'.")
    secret = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    return secret, Key(name, hashlib.sha256(secret.encode()).digest())


def parse(text: str) -> tuple[Key, ...]:
    """Keys as NAME:HASH, between them commas or line ends; what follows a # is a comment.

    Raises:
        ValueError: one is not of that form, or there is none: an empty list must not open the service. The text is
            not repeated, for it may be a key that was put there by mistake.
    """
    lines = (line.partition("#")[0] for line in text.splitlines())
    entries = [entry.strip() for line in lines for entry in line.split(",") if entry.strip()]
    if not entries:
        raise ValueError(f"there is no key in it; unset it to serve without keys ({FORM})")
    return tuple(_key(entry, i) for i, entry in enumerate(entries, 1))


def read(path: str | Path) -> tuple[Key, ...]:
    """The keys of a file, as `parse` reads them.

    Raises:
        ValueError: it cannot be read, or see parse.
    """
    try:
        return parse(Path(path).read_text("ascii"))
    except OSError as exc:
        raise ValueError(f"the file cannot be read ({exc.strerror})") from exc
    except UnicodeDecodeError:
        raise ValueError(FORM) from None


def _key(entry: str, place: int) -> Key:
    name, _, digest = entry.partition(":")
    if not NAME.fullmatch(name) or not DIGEST.fullmatch(digest):
        raise ValueError(f"entry {place} is no key: {FORM}")
    return Key(name, bytes.fromhex(digest))
