"""A clock that a test moves: waiting takes no time."""

from app.client import Retries


class FakeClock:
    def __init__(self) -> None:
        self.time = 1000.0
        self.waits: list[float] = []

    def now(self) -> float:
        return self.time

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.time += seconds

    async def wait_async(self, seconds: float) -> None:
        self.wait(seconds)


def retries(clock: FakeClock, **changed: float) -> Retries:
    """Retries without chance."""
    return Retries(spread=lambda: 0.0, clock=clock, **changed)
