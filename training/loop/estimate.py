"""The remaining time of measuring and publishing, estimated from the progress so far."""

import time
from collections.abc import Callable

# Parts after the likelihood's draws, as shares of the time until the first draws are done. All of that time is
# compiling, and these are importing, tracing and drawing, so a slow or busy machine is slow at both.
AFTER = {"measuring": 0.1, "exporting": 0.3, "reporting": 0.2}


class Estimate:
    """An estimate of the remaining time, in seconds.

    Args:
        parts: the parts of the work in order, by their names in AFTER; the first one reports its progress.
        clock: returns seconds.
    """

    def __init__(self, parts: tuple[str, ...], clock: Callable[[], float] = time.monotonic) -> None:
        self._parts = parts
        self._clock = clock
        self._began = clock()
        self._first: tuple[float, float] | None = None  # when, and which share of the counted part was done
        self._pace: float | None = None  # seconds for all of the counted part
        self._at = (parts[0], 0.0)
        self._since = self._began

    def update(self, part: str, share: float) -> None:
        """Record that a share of a part is done, 0 to 1."""
        now = self._clock()
        self._at, self._since = (part, share), now
        if part == self._parts[0] and self._first is None:
            self._first = (now, share)
        elif part == self._parts[0] and self._first is not None and share > self._first[1]:
            self._pace = (now - self._first[0]) / (share - self._first[1])

    def left(self) -> float | None:
        """Return the seconds left, at least 0; None until the duration of the first part can be estimated."""
        if self._first is None or (self._pace is None and self._first[1] < 1):
            return None
        part, share = self._at
        compiling = self._first[0] - self._began
        counted = (self._pace or 0.0) * (1 - share) if part == self._parts[0] else 0.0
        this, *others = (AFTER[each] * compiling for each in self._parts[self._parts.index(part) :])
        return max(0.0, counted + this - (self._clock() - self._since)) + sum(others)

    def done(self) -> float:
        """Return the share of the total time that has passed, 0 to 1."""
        left, passed = self.left(), self._clock() - self._began
        return 0.0 if left is None or not passed + left else passed / (passed + left)
