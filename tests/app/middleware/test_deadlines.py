import asyncio

from app.middleware.deadlines import Deadlines


async def sleeper(deadlines: Deadlines, name: str, late: list[str], seconds: float = 5) -> None:
    task = asyncio.current_task()
    assert task is not None
    deadlines.begin(task)
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        if not deadlines.ran_out(task):
            raise
        assert not task.cancelling()
        late.append(name)
    finally:
        deadlines.pop(task, None)


async def test_what_is_not_released_in_time_is_cancelled_in_order():
    late: list[str] = []
    deadlines = Deadlines(0.05)
    await asyncio.gather(*(sleeper(deadlines, name, late, 0.01 if name == "b" else 5) for name in "abc"))
    assert late == ["a", "c"]
    assert len(deadlines) == 0


async def test_the_clock_of_a_later_one_starts_later():
    late: list[str] = []
    deadlines = Deadlines(0.2)
    first = asyncio.create_task(sleeper(deadlines, "first", late))
    await asyncio.sleep(0.1)
    second = asyncio.create_task(sleeper(deadlines, "second", late))
    await first
    assert late == ["first"]
    await second
    assert late == ["first", "second"]


async def test_who_is_cancelled_by_others_is_not_late():
    late: list[str] = []
    task = asyncio.create_task(sleeper(Deadlines(5), "other", late))
    await asyncio.sleep(0)
    task.cancel()
    assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)
    assert late == []


async def test_it_ticks_only_while_there_is_something_to_watch():
    deadlines = Deadlines(0.05)
    assert not deadlines.ticks
    await sleeper(deadlines, "quick", [], 0.01)
    assert deadlines.ticks
    await asyncio.sleep(0.1)
    assert not deadlines.ticks
