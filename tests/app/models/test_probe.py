import numpy as np
import pytest

from app.errors import EngineError
from app.models.engine import Posterior
from app.models.probe import PROBES, check_outputs, probe
from tests.support.fakes import FakeEngine


def outputs(n: int = 2) -> dict[str, np.ndarray]:
    return {
        "z_mean": np.zeros((n, 2), np.float32),
        "z_log_var": np.zeros((n, 2), np.float32),
        "images": np.full((n, 28, 28), 0.5, np.float32),
        "levels": np.zeros((n, 28, 28), np.uint8),
    }


def check(engine: FakeEngine, z_mean, z_log_var, images, levels) -> None:
    check_outputs(engine, 2, Posterior(z_mean, z_log_var), images, levels)


def test_a_sound_engine_passes_and_is_called_in_every_way(engine):
    probe(engine)
    assert engine.batches == [PROBES] * 3
    check(engine, **outputs())


@pytest.mark.parametrize("name", list(outputs()))
def test_an_output_of_another_shape_is_named(engine, name):
    for wrong in (outputs(3)[name], outputs()[name][..., :1]):
        with pytest.raises(EngineError, match="manifest promises"):
            check(engine, **outputs() | {name: wrong})


@pytest.mark.parametrize("name", ["z_mean", "z_log_var", "images"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_number_that_is_not_finite_is_found(engine, name, bad):
    wrong = outputs()
    wrong[name].flat[-1] = bad
    with pytest.raises(EngineError, match="not finite"):
        check(engine, **wrong)


@pytest.mark.parametrize("level", [-0.1, 1.1])
def test_pixels_lie_between_0_and_1(engine, level):
    wrong = outputs()
    wrong["images"].flat[7] = level
    with pytest.raises(EngineError, match=r"outside of 0 \.\. 1"):
        check(engine, **wrong)


def test_a_call_that_fails_fails_the_probe(engine, monkeypatch):
    def lost(images):
        raise EngineError("The device is lost.")

    monkeypatch.setattr(engine, "encode", lost)
    with pytest.raises(EngineError, match="lost"):
        probe(engine)
