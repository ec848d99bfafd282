import pytest

from training.loop.estimate import AFTER, Estimate

PARTS = tuple(AFTER)


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_nothing_is_promised_before_the_pace_is_known(clock):
    estimate = Estimate(PARTS, clock)
    assert (estimate.left(), estimate.done()) == (None, 0.0)
    clock.now += 10  # compiling
    estimate.update("measuring", 0.005)
    assert (estimate.left(), estimate.done()) == (None, 0.0)


def test_all_parts_count_and_compiling_does_not_slow_the_pace(clock):
    """200 chunks of half a second, the first after 10 s of compiling; then what AFTER says, of those 10 s."""
    estimate = Estimate(PARTS, clock)
    after = 10 * sum(AFTER.values())
    clock.now += 10
    estimate.update("measuring", 1 / 200)
    for i in range(2, 201):
        clock.now += 0.5
        estimate.update("measuring", i / 200)
        assert estimate.left() == pytest.approx(0.5 * (200 - i) + after)
    passed = 10 + 0.5 * 199
    assert estimate.done() == pytest.approx(passed / (passed + after))
    clock.now += 10 * AFTER["measuring"]
    estimate.update("exporting", 0.0)
    assert estimate.left() == pytest.approx(10 * (AFTER["exporting"] + AFTER["reporting"]))


def test_time_that_passes_counts_and_a_part_that_is_late_takes_none_from_the_next(clock):
    estimate = Estimate(PARTS, clock)
    clock.now += 10
    estimate.update("measuring", 0.5)
    clock.now += 5
    estimate.update("measuring", 1.0)
    estimate.update("exporting", 0.0)
    before = estimate.left()
    assert before is not None
    clock.now += 1
    assert estimate.left() == pytest.approx(before - 1)
    clock.now += 60
    assert estimate.left() == pytest.approx(10 * AFTER["reporting"])
    clock.now += 60
    estimate.update("reporting", 0.0)
    clock.now += 60
    assert estimate.left() == 0
    assert estimate.done() == 1


def test_a_single_chunk_is_enough(clock):
    estimate = Estimate(PARTS[:1], clock)
    clock.now += 10
    estimate.update("measuring", 1.0)
    assert estimate.left() == pytest.approx(10 * AFTER["measuring"])
