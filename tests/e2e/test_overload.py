"""More than the service can do, from callers that do not wait: everybody gets an answer, and it goes on."""

import asyncio
import io
import signal
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.support.paths import ROOT
from tests.support.server import Server, serving

pytestmark = pytest.mark.slow

BOUND = 16


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("log") / "server.log"
    with serving(ROOT / "model_store", log, "--workers", "1", VAE_MAX_REQUESTS=str(BOUND)) as server:
        yield server


def levels_of(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


async def burst(url: str, count: int) -> list[httpx.Response]:
    limits = httpx.Limits(max_connections=count)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits, trust_env=False) as client:
        body = {"sample": 256}
        posts = [client.post("/generate", json=body) for _ in range(count)]
        probes = [client.get(path) for path in ("/livez", "/readyz", "/metrics")]
        return await asyncio.gather(*posts, *probes)


async def test_a_burst_far_beyond_the_bound_is_answered_or_refused_and_never_reset(server):
    *answers, live, ready, metrics = await burst(server.url, 300)
    assert [live.status_code, ready.status_code, metrics.status_code] == [200, 200, 200]
    assert {answer.status_code for answer in answers} == {200, 503}
    for answer in answers:
        if answer.status_code == 503:
            assert answer.json()["code"] == "overloaded"
            assert int(answer.headers["retry-after"]) >= 1
    again = httpx.post(f"{server.url}/generate", json={"z": [0, 0]}, trust_env=False)
    assert again.status_code == 200


async def test_64_callers_of_two_workers_each_get_their_own_digit(tmp_path):
    z = np.random.default_rng(2).standard_normal((64, 6, 2)).astype(np.float32)
    with serving(ROOT / "model_store", tmp_path / "log", "--workers", "2") as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=60, trust_env=False) as client:
            accept = {"accept": "application/x-npy"}
            together = await client.post("/generate", json={"z": z.reshape(-1, 2).tolist()}, headers=accept)
            digits = np.frombuffer(together.content[-384 * 784 :], np.uint8).reshape(64, 6, 28, 28)

            async def caller(n: int) -> list[np.ndarray]:
                answers = [await client.post("/generate", json={"z": each.tolist()}) for each in z[n]]
                return [levels_of(answer.content) for answer in answers]

            answered = np.array(await asyncio.gather(*(caller(n) for n in range(64))), np.int16)
            # Sums in another order may round a grey level the other way; another's digit differs by far more.
            assert np.abs(answered - digits).max() <= 1
            counted = (await client.get("/metrics")).text
        assert 'digit_vae_requests_total{route="/generate",status="200"} 385' in counted
        assert server.stop() == 0


def test_told_to_stop_it_says_so_before_it_closes_the_port(tmp_path):
    with (
        serving(ROOT / "model_store", tmp_path / "log", "--workers", "1", VAE_DRAIN_S="1") as server,
        httpx.Client(base_url=server.url, trust_env=False) as client,
    ):
        server.process.send_signal(signal.SIGTERM)
        states = set()
        for _ in range(50):
            states.add(httpx.get(f"{server.url}/readyz", trust_env=False).status_code)
            if 503 in states:
                break
        assert 503 in states
        assert client.post("/generate", json={"z": [0, 0]}).status_code == 200
        assert server.process.wait(30) == 0
