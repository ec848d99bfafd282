"""Rate limit per client: a token bucket each (VAE_RATE_LIMIT, VAE_RATE_BURST).

A bucket holds up to `burst` tokens and is refilled at `rate`. A request takes one token, and is rejected if there is
none. So in any T seconds a client gets at most burst + rate * T requests. Each process has its own buckets.
"""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

from app.settings.values import Rate

MAX_CALLERS = 65536  # some 15 MB of buckets; whoever has been silent longest is forgotten first
UNKNOWN = "unknown"  # a socket in the file system has no addresses: all of its callers are one
SUBSCRIBER_BITS = 64  # of IPv6: whoever has one address has all that begin like it
MAX_ADDRESS = 64  # a proxy that believes its callers may hand on anything


class RateLimit:
    """The token buckets of all clients. Not thread-safe.

    Args:
        rate: refill rate of each bucket.
        burst: capacity of each bucket, in requests; by default the rate's own count.
        clock: returns seconds since a fixed moment.
        max_callers: maximum number of buckets. The least recently used one is dropped, and begins full when it is
            needed again. With more clients than this at once, some exceed the rate, but memory stays bounded.
    """

    def __init__(
        self,
        rate: Rate,
        burst: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        max_callers: int = MAX_CALLERS,
    ) -> None:
        self._per_s = rate.per_s
        self._burst = float(burst or rate.count)
        self._clock = clock
        self._max_callers = max_callers
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # what was in it, and when

    def wait(self, caller: str) -> float:
        """Take a token from the caller's bucket and return 0; if it is empty, return the seconds until the next one."""
        now = self._clock()
        held, then = self._buckets.get(caller, (self._burst, now))
        held = min(self._burst, held + (now - then) * self._per_s)
        if held < 1 - 1e-9:  # whoever waited as long as was said is let in, however the sum was rounded
            self._buckets.move_to_end(caller)
            return (1 - held) / self._per_s
        self._buckets[caller] = (held - 1, now)
        self._buckets.move_to_end(caller)
        if len(self._buckets) > self._max_callers:
            self._buckets.popitem(last=False)
        return 0.0


def client_address(client: tuple[str, int] | None) -> str:
    """Return the address under which ASGI's `client` is counted; for IPv6, the /64 network of the subscriber."""
    host = client[0][:MAX_ADDRESS] if client else UNKNOWN
    if ":" not in host:
        return host
    try:
        found = ipaddress.IPv6Address(host)
    except ValueError:
        return host
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((found, SUBSCRIBER_BITS), strict=False))
