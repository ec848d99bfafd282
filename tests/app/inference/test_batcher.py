import asyncio
import threading
import time

import numpy as np
import pytest

from app.errors import EngineError, ModelFailing, Overloaded, ShuttingDown
from app.inference.batcher import Batcher
from app.telemetry.metrics import Metrics


class Doubling:
    """A model that doubles, remembers its batches, and stops at a gate."""

    def __init__(self):
        self.batches = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, rows):
        self.gate.wait(10)
        self.batches.append(rows.tolist())
        if (rows == -13).any():
            raise ValueError("unlucky")
        return (rows * 2,)


def new_batcher(failed=lambda error: None):
    return Batcher(max_batch=4, max_queue=64, inline_rows=0, observer=Metrics(()), failed=failed)


@pytest.fixture
async def batcher():
    made = new_batcher()
    yield made
    await made.close()


async def submit(batcher, call, *numbers):
    (result,) = await batcher.submit(call, np.array(numbers))
    return result.tolist()


async def held_up(batcher, model, *requests):
    """Send the first request, and the others while the model is busy with it; all results."""
    model.gate.clear()
    tasks = [asyncio.create_task(submit(batcher, model, *requests[0]))]
    await asyncio.sleep(0.01)
    tasks += [asyncio.create_task(submit(batcher, model, *numbers)) for numbers in requests[1:]]
    await asyncio.sleep(0.01)
    model.gate.set()
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_lone_request_runs_at_once(batcher):
    assert await submit(batcher, Doubling(), 1, 2) == [2, 4]


async def test_what_arrives_while_the_model_is_busy_shares_the_next_call(batcher):
    model = Doubling()
    assert await held_up(batcher, model, [1], [2], [3, 4], [5]) == [[2], [4], [6, 8], [10]]
    assert model.batches == [[1], [2, 3, 4, 5]]


async def test_a_batch_is_never_longer_than_allowed_and_a_longer_request_is_split(batcher):
    model = Doubling()
    assert await submit(batcher, model, *range(10)) == list(range(0, 20, 2))
    assert [len(batch) for batch in model.batches] == [4, 4, 2]


async def test_different_functions_never_share_a_call(batcher):
    first, second = Doubling(), Doubling()
    first.gate.clear()
    tasks = [asyncio.create_task(submit(batcher, model, n)) for n, model in enumerate((first, first, second, first))]
    await asyncio.sleep(0.01)
    first.gate.set()
    assert await asyncio.gather(*tasks) == [[0], [2], [4], [6]]
    assert (first.batches, second.batches) == ([[0], [1, 3]], [[2]])


async def test_one_bad_request_does_not_disturb_the_others_in_its_batch(batcher):
    model = Doubling()
    results = await held_up(batcher, model, [1], [2], [-13], [3])
    assert isinstance(results[2], EngineError)
    assert results[:2] + results[3:] == [[2], [4], [6]]


async def test_a_model_that_loses_rows_is_an_error_and_not_a_wrong_answer(batcher):
    with pytest.raises(EngineError, match="answered 2 rows"):
        await batcher.submit(lambda rows: (rows[:1],), np.array([1, 2]))


async def test_a_full_queue_refuses_and_recovers(batcher):
    model = Doubling()
    model.gate.clear()
    busy = asyncio.create_task(submit(batcher, model, 0))
    await asyncio.sleep(0.01)
    waiting = asyncio.create_task(submit(batcher, model, *range(100, 164)))
    await asyncio.sleep(0.01)
    with pytest.raises(Overloaded):
        await submit(batcher, model, 1)
    model.gate.set()
    await asyncio.gather(busy, waiting)
    assert await submit(batcher, model, 1) == [2]


async def test_a_request_that_is_not_waited_for_any_more_is_never_run(batcher):
    model = Doubling()
    model.gate.clear()
    running = asyncio.create_task(submit(batcher, model, 1))
    await asyncio.sleep(0.01)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(submit(batcher, model, 2), 0.05)
    model.gate.set()
    assert await running == [2]
    assert await submit(batcher, model, 3) == [6]
    assert model.batches == [[1], [3]]


async def test_a_caller_that_left_costs_no_model_call(batcher):
    model = Doubling()
    model.gate.clear()
    busy = asyncio.create_task(submit(batcher, model, 1))
    await asyncio.sleep(0.01)
    leaver = asyncio.create_task(submit(batcher, model, 2))
    await asyncio.sleep(0.01)
    leaver.cancel()
    await asyncio.sleep(0.01)
    model.gate.set()
    await busy
    assert await submit(batcher, model, 3) == [6]
    assert model.batches == [[1], [3]]


async def test_the_event_loop_turns_while_the_model_computes(batcher):
    task = asyncio.create_task(batcher.submit(lambda rows: (time.sleep(0.3), (rows,))[1], np.array([1])))
    turns = 0
    while not task.done():
        await asyncio.sleep(0.01)
        turns += 1
    assert turns > 5


async def test_closing_answers_what_waits_and_refuses_what_comes():
    model, batcher = Doubling(), new_batcher()
    model.gate.clear()
    tasks = [asyncio.create_task(submit(batcher, model, n)) for n in range(3)]
    await asyncio.sleep(0.01)
    closing = asyncio.create_task(batcher.close())
    await asyncio.sleep(0.01)
    with pytest.raises(ShuttingDown):
        await submit(batcher, model, 9)
    model.gate.set()
    assert await asyncio.gather(*tasks) == [[0], [2], [4]]
    await closing


async def test_no_request_gets_the_answer_of_another(batcher):
    async def caller(n):
        for i in range(50):
            assert await submit(batcher, model, n * 1000 + i) == [2 * (n * 1000 + i)]

    model = Doubling()
    await asyncio.gather(*(caller(n) for n in range(64)))
    assert len(model.batches) < 64 * 50


async def test_a_batch_that_hangs_can_be_given_up_and_everybody_hears_of_it():
    model, batcher = Doubling(), new_batcher()
    model.gate.clear()
    assert batcher.running_batch() is None
    tasks = [asyncio.create_task(submit(batcher, model, n)) for n in range(3)]
    await asyncio.sleep(0.01)
    assert batcher.running_batch() is batcher.running_batch() is not None
    batcher.abort(ModelFailing("It hangs."))
    assert [type(each) for each in await asyncio.gather(*tasks, return_exceptions=True)] == [ModelFailing] * 3
    with pytest.raises(ModelFailing, match="hangs"):
        await submit(batcher, model, 1)
    model.gate.set()  # it returns after all, and nobody minds
    await batcher.close()
    assert batcher.running_batch() is None


async def test_failures_are_told_and_successes_are_not():
    told: list[Exception] = []
    batcher = new_batcher(failed=told.append)
    results = await held_up(batcher, Doubling(), [1], [2], [-13], [3])
    assert told == [results[2]]
    await batcher.close()
