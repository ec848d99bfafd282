"""How often one caller may call: a token bucket each (VAE_RATE_LIMIT, VAE_RATE_BURST).

A bucket holds `burst` requests and fills at `rate`; a request takes one out, and none is let in while it is empty. So
in any T seconds a caller gets at most burst + rate * T requests. The buckets are those of one process.
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

MOST_CALLERS = 65536  # some 15 MB of buckets; whoever has been silent longest is forgotten first
PERIODS_S = {"s": 1, "min": 60, "h": 3600}
FORM = re.compile(r"([1-9][0-9]{0,8})/(s|min|h)")


@dataclass(frozen=True)
class Rate:
    """So many requests in a period."""

    count: int
    period: str  # s, min or h

    @property
    def per_s(self) -> float:
        """Requests a second."""
        return self.count / PERIODS_S[self.period]

    def __str__(self) -> str:
        return f"{self.count}/{self.period}"


def parse(text: str) -> Rate:
    """A rate such as 100/s, 6000/min or 1000/h.

    Raises:
        ValueError: it is none.
    """
    found = FORM.fullmatch(text.strip())
    if not found:
        raise ValueError("a rate is a whole number of requests per s, min or h, such as 100/s or 6000/min")
    return Rate(int(found[1]), found[2])


class RateLimit:
    """Everybody's bucket. Use it in one thread.

    Args:
        rate: how fast each bucket fills.
        burst: what it holds; by default the rate's own count.
        clock: seconds since some moment.
        most_callers: how many buckets are kept. A bucket that is forgotten begins anew, full; with more callers than
            this at once some get more than the rate, and memory stays bounded.
    """

    def __init__(
        self,
        rate: Rate,
        burst: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        most_callers: int = MOST_CALLERS,
    ) -> None:
        self._per_s = rate.per_s
        self._burst = float(burst or rate.count)
        self._clock = clock
        self._most_callers = most_callers
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # what was in it, and when

    def wait(self, caller: str) -> float:
        """Take a request out of the caller's bucket: 0; or, where none is left, the seconds until there is one."""
        now = self._clock()
        held, then = self._buckets.get(caller, (self._burst, now))
        held = min(self._burst, held + (now - then) * self._per_s)
        if held < 1 - 1e-9:  # whoever waited as long as was said is let in, however the sum was rounded
            self._buckets.move_to_end(caller)
            return (1 - held) / self._per_s
        self._buckets[caller] = (held - 1, now)
        self._buckets.move_to_end(caller)
        if len(self._buckets) > self._most_callers:
            self._buckets.popitem(last=False)
        return 0.0
