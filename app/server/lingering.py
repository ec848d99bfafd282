"""A stop that loses nobody's request: uvicorn's HTTP protocol, whose idle connections are closed a moment later.

uvicorn closes them at once when it stops. What has arrived on one, and was not read yet because the event loop was
busy, would be thrown away, and its sender see a reset.
"""

from __future__ import annotations

from app.server.upgrade import UpgradeIgnoringProtocol

LINGER_S = 0.1
TURNS = 4  # of the event loop, in each of which it looks for what has arrived, however late its timers are


class LingeringProtocol(UpgradeIgnoringProtocol):
    """To be given to uvicorn as `http`."""

    def shutdown(self) -> None:
        """Answer the requests that are here or on their way, then close."""
        self._linger(TURNS)

    def _linger(self, turns: int) -> None:
        if turns and (self.cycle is None or self.cycle.response_complete):
            self.loop.call_later(LINGER_S / TURNS, self._linger, turns - 1)
        else:
            super().shutdown()
