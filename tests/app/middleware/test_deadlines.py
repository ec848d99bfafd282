from __future__ import annotations

import asyncio

from app.middleware.deadlines import Deadlines


async def test_what_is_not_released_in_time_expires_in_order():
    late: list[str] = []
    deadlines = Deadlines(0.05, late.append)
    for name in "abc":
        deadlines.watch(name)
    deadlines.release("b")
    await asyncio.sleep(0.15)
    assert late == ["a", "c"]
    assert len(deadlines) == 0


async def test_the_clock_of_a_later_one_starts_later():
    late: list[str] = []
    deadlines = Deadlines(0.2, late.append)
    deadlines.watch("first")
    await asyncio.sleep(0.1)
    deadlines.watch("second")
    await asyncio.sleep(0.15)
    assert late == ["first"]
    await asyncio.sleep(0.15)
    assert late == ["first", "second"]
