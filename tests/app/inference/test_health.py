import asyncio
import logging

import pytest

from app.errors import EngineError, Overloaded
from app.inference import health
from app.inference.health import FAILING, Health
from tests.support.fakes import FakeEngine


class Model:
    """Its probe fails with `error` as long as that is set."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.probes = 0

    async def probe(self) -> None:
        self.probes += 1
        if self.error:
            raise self.error


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(health, "PROBE_EVERY_S", 0.01)


LOST = EngineError("The model failed: InternalError.")


def judged(model: Model, recovery_s: float = 10) -> tuple[Health, list[str]]:
    given_up: list[str] = []
    return Health(model.probe, recovery_s, given_up.append), given_up


async def until(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


async def test_a_failure_that_the_probe_does_not_share_is_the_inputs_fault():
    model = Model()
    judge, given_up = judged(model)
    judge.failed(LOST)
    await until(lambda: model.probes == 1)
    await asyncio.sleep(0.03)
    assert (judge.trouble, given_up, model.probes) == (None, [], 1)


async def test_many_failures_cost_few_probes(monkeypatch):
    monkeypatch.setattr(health, "PROBE_EVERY_S", 60)
    model = Model()
    judge, _ = judged(model)
    for _ in range(100):
        judge.failed(LOST)
        await asyncio.sleep(0)
    assert model.probes == 1


async def test_a_model_that_fails_on_the_probe_is_in_trouble_until_it_recovers(caplog):
    caplog.set_level(logging.INFO, "app")  # whatever the latest application in this process was set to
    model = Model(LOST)
    judge, given_up = judged(model)
    judge.failed(LOST)
    await until(lambda: judge.trouble == FAILING)
    model.error = None
    await until(lambda: judge.trouble is None)
    assert given_up == []
    ours = [record.levelno for record in caplog.records if record.name == health.log.name]
    assert ours == [logging.ERROR, logging.WARNING]
    model.error = LOST
    await asyncio.sleep(0.02)
    judge.failed(LOST)
    await until(lambda: judge.trouble == FAILING)
    judge.close()


async def test_a_model_that_does_not_recover_is_given_up_once():
    judge, given_up = judged(Model(LOST), recovery_s=0.03)
    judge.failed(LOST)
    await until(lambda: given_up)
    judge.failed(LOST)
    await asyncio.sleep(0.05)
    assert len(given_up) == 1
    assert judge.trouble == FAILING


async def test_a_full_queue_says_nothing_of_the_model():
    judge, given_up = judged(Model(Overloaded("Full.")), recovery_s=0)
    judge.failed(LOST)
    await asyncio.sleep(0.03)
    assert (judge.trouble, given_up) == (None, [])


class Fragile(FakeEngine):
    """Its device can be lost."""

    lost = False

    def _note(self, batch):
        super()._note(batch)
        if self.lost:
            raise RuntimeError("CUDA error: unspecified launch failure")


@pytest.fixture
def engine():
    return Fragile()


async def test_readiness_follows_the_model(client, engine):
    async def states():
        paths = ("/readyz", "/v2/health/ready", "/v2/models/encoder/ready", "/livez")
        return [(await client.get(path)).status_code for path in paths]

    async def answered():
        return (await client.post("/generate", json={"z": [0, 0]})).status_code

    assert (await answered(), await states()) == (200, [200] * 4)
    engine.lost = True
    assert await answered() == 500
    async with asyncio.timeout(5):
        while await states() != [503, 503, 503, 200]:
            await asyncio.sleep(0.001)
    problem = (await client.get("/readyz")).json()
    assert (problem["code"], problem["detail"]) == ("model-failing", FAILING)
    engine.lost = False
    async with asyncio.timeout(5):
        while await states() != [200] * 4:
            await asyncio.sleep(0.001)
    assert await answered() == 200


async def test_input_that_breaks_the_model_does_not_make_the_service_unready(client, engine):
    for _ in range(20):
        assert (await client.post("/generate", json={"z": [666, 0]})).status_code == 500
        assert (await client.get("/readyz")).status_code == 200
