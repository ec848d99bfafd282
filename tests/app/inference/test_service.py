import asyncio
import threading

import numpy as np
import pytest

from app.errors import AnswerTooLarge, EngineError, InvalidLatent, InvalidParameter, ShuttingDown
from app.imaging.sheets import to_uint8
from app.inference.service import NUMBER_BYTES, QUICK_NUMBERS
from app.main import create_app
from tests.app.middleware.test_admission import application
from tests.support.fakes import FakeEngine, paint
from tests.support.pictures import file_of, pixels

PNG = {"content-type": "image/png"}


async def test_64_clients_each_get_their_own_digits(client, engine):
    async def caller(n):
        for i in range(10):
            z = [(n - 32) / 8, (i - 5) / 2]
            response = await client.post("/generate", json={"z": z})
            assert np.array_equal(pixels(response.content), to_uint8(paint(np.array([z])))[0])

    await asyncio.gather(*(caller(n) for n in range(64)))
    assert len(engine.batches) < 640  # some were batched


async def test_a_request_that_breaks_the_model_disturbs_nobody_else(client, engine):
    engine.gate = threading.Event()
    tasks = [asyncio.create_task(client.post("/generate", json={"z": z})) for z in ([0, 0], [1, 1], [666, 0], [2, 2])]
    await asyncio.sleep(0.05)
    engine.gate.set()
    assert [response.status_code for response in await asyncio.gather(*tasks)] == [200, 200, 500, 200]


async def test_a_model_that_is_not_quick_runs_in_the_batchers_thread(client, engine, digit):
    await client.post("/generate", json={"z": [0, 0]})
    await client.post("/encode", content=file_of(digit), headers=PNG)
    assert {name.split("_")[0] for name in engine.threads} == {"inference"}


Z = {"z": [0.5, -0.5]}


async def test_small_batches_run_on_the_loop_and_large_ones_in_the_thread(settings, engine):
    engine.max_inline_batch = 2
    app, client = await application(settings, engine)
    async with app.router.lifespan_context(app), client:
        await client.post("/generate", json=Z)
        assert engine.threads == {threading.current_thread().name}
        engine.threads.clear()
        await client.post("/generate", json={"sample": 3})
        assert all(name.startswith("inference") for name in engine.threads)
        engine.batches.clear()
        answers = await asyncio.gather(*(client.post("/generate", json={"z": [n, 0]}) for n in range(20)))
        assert len({answer.content for answer in answers}) == 20 - 10 - 4  # paint() clips z beyond 5
        assert len(engine.batches) < 20


async def test_a_model_that_answers_with_nan_fails_its_probe(settings, monkeypatch):
    engine = FakeEngine()
    app = create_app(settings, lambda stored, settings: engine)
    async with app.router.lifespan_context(app):
        monkeypatch.setattr(engine, "generate", lambda z: (np.full((len(z), 28, 28), np.nan, np.float32),))
        monkeypatch.setattr(engine, "generate_uint8", lambda z: (np.zeros((len(z), 28, 28), np.uint8),))
        assert app.service is not None
        with pytest.raises(EngineError, match="not finite"):
            await app.service.probe()


@pytest.fixture
def service(client):
    return client._transport.app.service


async def test_long_answers_are_written_in_a_thread_and_too_long_ones_not_at_all(service):
    def where():
        return threading.current_thread().name

    quick, long = np.zeros(QUICK_NUMBERS, np.float32), np.zeros(QUICK_NUMBERS + 1, np.float32)
    assert await service.serialize(where, quick) == where()
    assert (await service.serialize(where, quick, long)).startswith("pictures")
    most = service.settings.max_response_bytes // NUMBER_BYTES
    with pytest.raises(AnswerTooLarge, match="fewer rows"):
        await service.serialize(where, np.broadcast_to(np.float32(0), (most + 1,)))


async def test_a_service_that_was_told_to_stop_is_not_ready_and_still_answers(service):
    service.check_ready()
    service.draining = True
    with pytest.raises(ShuttingDown):
        service.check_ready()
    assert (await service.generate(service.model, np.zeros((1, 2), np.float32))).shape == (1, 28, 28)


@pytest.mark.parametrize("shape", [(2,), (1, 3), (0, 2), (4097, 2)])
async def test_latent_vectors_of_another_shape_never_reach_the_model(service, engine, shape):
    for generate in (service.generate, service.generate_unrounded):
        with pytest.raises(InvalidLatent):
            await generate(service.model, np.zeros(shape, np.float32))
    assert engine.batches == []


async def test_a_manifold_is_drawn_once_for_all_who_ask_meanwhile_and_within_bounds(service, engine):
    asked = [service.manifold(service.model, 3, 1, (0.05, 0.95), (0, 1)) for _ in range(5)]
    assert len(set(await asyncio.gather(*asked))) == 1
    assert engine.batches == [9]
    for n, scale, dims in ((65, 1, (0, 1)), (3, 17, (0, 1)), (3, 1, (0, 0)), (3, 1, (0, 2))):
        with pytest.raises(InvalidParameter):
            await service.manifold(service.model, n, scale, (0.05, 0.95), dims)
