"""The types of settings' values, and the parsers for their text."""

import ipaddress
import re
from dataclasses import dataclass

ANY = "*"
PERIODS_S = {"s": 1, "min": 60, "h": 3600}
RATE = re.compile(r"([1-9][0-9]{0,8})/(s|min|h)")
ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:.]+\](:[0-9]{1,5})?")


@dataclass(frozen=True)
class Rate:
    """A number of requests per period."""

    count: int
    period: str  # s, min or h

    @property
    def per_s(self) -> float:
        """Requests per second."""
        return self.count / PERIODS_S[self.period]

    def __str__(self) -> str:
        return f"{self.count}/{self.period}"


def parse_rate(text: str) -> Rate:
    """Parse a rate such as 100/s, 6000/min or 1000/h.

    Raises:
        ValueError: the text is not a rate.
    """
    found = RATE.fullmatch(text.strip())
    if not found:
        raise ValueError("a rate is a whole number of requests per s, min or h, such as 100/s or 6000/min")
    return Rate(int(found[1]), found[2])


def parse_origins(text: str) -> tuple[str, ...]:
    """Parse comma-separated origins, or * for any.

    Raises:
        ValueError: an origin does not have the form that browsers send, so that it would never match.
    """
    origins = tuple(part.strip() for part in text.split(",") if part.strip())
    if origins == (ANY,):
        return origins
    if not origins or not all(ORIGIN.fullmatch(origin) for origin in origins):
        raise ValueError(
            "origins are like https://example.org or http://localhost:3000, in small letters and without a path or "
            "a slash at the end, between them commas; or a single * for any"
        )
    return origins


def parse_proxies(text: str) -> str:
    """Parse comma-separated addresses and networks, or * for all; return them in uvicorn's format.

    Raises:
        ValueError: an entry is neither. uvicorn would take it for a host name, and trust no proxy.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if parts == [ANY]:
        return ANY
    try:
        known = [str(ipaddress.ip_network(part, strict=False)) for part in parts]
    except ValueError:
        known = []
    if not known:
        raise ValueError("proxies are addresses or networks such as 10.0.0.0/8, between them commas; or a single *")
    return ",".join(known)
