import asyncio
import threading
import time

from app.server.watchdog import LOOKS, Watchdog

LIMIT_S = 0.1


class Told:
    def __init__(self) -> None:
        self.unready = threading.Event()
        self.reasons: list[str] = []
        self.given_up = threading.Event()

    def exit_process(self, reason: str) -> None:
        self.reasons.append(reason)
        self.given_up.set()

    def watching(self, running_batch, limit_s: float = LIMIT_S) -> Watchdog:
        return Watchdog(limit_s, running_batch, self.unready.set, self.exit_process, last_words_s=0.05)


async def seconds(told: Told, watchdog: Watchdog, most: float = 5) -> bool:
    with watchdog:
        return await asyncio.to_thread(told.given_up.wait, most)


async def test_a_batch_that_never_ends_is_told_first_and_given_up_then():
    told, batch = Told(), [1]
    assert await seconds(told, told.watching(lambda: batch))
    assert told.unready.is_set()
    assert told.reasons == ["a model call has been stuck for more than 0.1 s"]


async def test_one_batch_after_another_is_work_however_long_it_goes_on():
    told = Told()
    assert not await seconds(told, told.watching(lambda: [1]), most=4 * LIMIT_S)
    assert not told.unready.is_set()


async def test_an_idle_thread_is_not_stuck():
    told = Told()
    assert not await seconds(told, told.watching(lambda: None), most=4 * LIMIT_S)


async def test_a_loop_that_does_not_turn_is_given_up():
    told = Told()
    with told.watching(lambda: None):
        await asyncio.sleep(0.02)
        deadline = time.monotonic() + 5
        while not told.given_up.is_set() and time.monotonic() < deadline:
            time.sleep(0.01)  # as a model call on the loop would
    assert told.reasons == ["the event loop has been stuck for more than 0.1 s"]


async def test_zero_watches_nothing():
    told, batch = Told(), [1]
    assert not await seconds(told, told.watching(lambda: batch, limit_s=0), most=0.2)


async def test_a_process_that_was_stopped_is_not_stuck_when_it_goes_on():
    """The clock jumps far over the limit between two looks, but there was only one look."""
    told, batch = Told(), [1]
    watchdog = told.watching(lambda: batch, limit_s=1.0)
    looked = LOOKS // 2

    def jumping(timeout: float | None = None) -> bool:
        nonlocal looked
        looked -= 1
        return looked < 0  # the watch ends after half of the looks, whatever the clock says

    watchdog._ended.wait = jumping  # type: ignore[method-assign]
    with watchdog:
        await asyncio.to_thread(watchdog._thread.join, 5)
    assert not told.reasons
