import threading

import numpy as np
import pytest

from app.errors import EngineError
from app.models.parallel_engine import MIN_ROWS, ParallelEngine
from tests.support.fakes import FakeEngine


class Watched(FakeEngine):
    """Remembers which threads called it with how many rows; fails on request."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, int]] = []
        self.bad: float | None = None

    def generate_uint8(self, z):
        self.calls.append((threading.current_thread().name, len(z)))
        if self.bad is not None and (z == self.bad).any():
            raise EngineError("The model failed.")
        return super().generate_uint8(z)


@pytest.fixture
def engine():
    return Watched()


@pytest.fixture
def spread(engine):
    spread = ParallelEngine(engine, 3)
    yield spread
    spread.close()


@pytest.mark.parametrize("rows", [1, 2, MIN_ROWS, 2 * MIN_ROWS, 3 * MIN_ROWS + 1, 5000])
def test_the_rows_are_the_engines_and_in_order(engine, spread, rows):
    random = np.random.default_rng(rows)
    z = random.random((rows, 2), np.float32)
    images = random.random((rows, 28, 28), np.float32)
    levels = random.integers(0, 255, (rows, 28, 28), np.uint8)
    for name, batch in (("generate", z), ("generate_uint8", z), ("encode", images), ("encode_uint8", levels)):
        alone, shared = getattr(engine, name)(batch), getattr(spread, name)(batch)
        assert type(shared) is type(alone)
        for one, other in zip(alone, shared, strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype


def test_a_small_call_stays_whole_in_its_thread_and_a_large_one_is_shared(engine, spread):
    spread.generate_uint8(np.zeros((2 * MIN_ROWS - 1, 2), np.float32))
    assert engine.calls == [(threading.current_thread().name, 2 * MIN_ROWS - 1)]
    engine.calls.clear()
    spread.generate_uint8(np.zeros((3 * MIN_ROWS, 2), np.float32))
    assert sorted(rows for _, rows in engine.calls) == [MIN_ROWS] * 3
    assert threading.current_thread().name in {name for name, _ in engine.calls}


@pytest.mark.parametrize("row", [0, 2 * MIN_ROWS])
def test_a_failure_in_any_share_is_the_calls(engine, spread, row):
    z = np.zeros((3 * MIN_ROWS, 2), np.float32)
    z[row], engine.bad = 7, 7
    with pytest.raises(EngineError):
        spread.generate_uint8(z)
    engine.bad = None
    assert len(spread.generate_uint8(z)[0]) == len(z)
