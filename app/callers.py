"""Where a call comes from: the address that it is counted under, and the proxies that are believed about it.

Behind a proxy every call comes from the proxy. VAE_TRUSTED_PROXIES names those whose X-Forwarded-For is believed, and
uvicorn then tells the application the caller's address in place of theirs. Nobody is believed by default: anybody can
send that header.
"""

from __future__ import annotations

import ipaddress

ALL = "*"
UNKNOWN = "unknown"  # a socket in the file system has no addresses: all of its callers are one
SUBSCRIBER_BITS = 64  # of IPv6: whoever has one address has all that begin like it
LONGEST = 64  # a proxy that believes its callers may hand on anything


def address(client: tuple[str, int] | None) -> str:
    """Whom ASGI's `client` is counted as: the address; of IPv6 the network that one subscriber gets."""
    host = client[0][:LONGEST] if client else UNKNOWN
    if ":" not in host:
        return host
    try:
        found = ipaddress.IPv6Address(host)
    except ValueError:
        return host
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((found, SUBSCRIBER_BITS), strict=False))


def proxies(text: str) -> str:
    """Addresses and networks, between them commas, or * for all, as uvicorn takes them.

    Raises:
        ValueError: one is neither. uvicorn would take it for a name, and believe nobody.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if parts == [ALL]:
        return ALL
    try:
        known = [str(ipaddress.ip_network(part, strict=False)) for part in parts]
    except ValueError:
        known = []
    if not known:
        raise ValueError("proxies are addresses or networks such as 10.0.0.0/8, between them commas; or a single *")
    return ",".join(known)
