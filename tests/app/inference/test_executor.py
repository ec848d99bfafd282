import asyncio
import threading

import pytest

from app.errors import Overloaded
from app.inference.executor import MAX_WAITING, THREADS, BoundedExecutor


@pytest.fixture
def executor():
    made = BoundedExecutor()
    yield made
    made.close()


async def test_work_is_done_in_a_thread_and_its_result_or_error_returned(executor):
    assert (await executor.run(lambda: threading.current_thread().name)).startswith("pictures")
    with pytest.raises(ZeroDivisionError):
        await executor.run(lambda: 1 // 0)


async def test_beyond_what_may_wait_work_is_refused_until_there_is_room_again(executor):
    gate, most, lock = threading.Event(), [0, 0], threading.Lock()

    def work():
        with lock:
            most[0] += 1
            most[1] = max(most)
        gate.wait(10)
        with lock:
            most[0] -= 1

    waiting = [asyncio.create_task(executor.run(work)) for _ in range(MAX_WAITING)]
    await asyncio.sleep(0.05)
    with pytest.raises(Overloaded, match="Try again"):
        await executor.run(work)
    gate.set()
    await asyncio.gather(*waiting)
    assert most == [0, THREADS]
    assert await executor.run(lambda: 7) == 7


async def test_work_that_failed_takes_no_room(executor):
    for _ in range(MAX_WAITING + 1):
        with pytest.raises(ZeroDivisionError):
            await executor.run(lambda: 1 // 0)
