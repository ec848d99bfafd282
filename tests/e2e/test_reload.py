"""Hot reload with TensorFlow: real versions, bad in the ways that versions are, under load, again and again."""

import asyncio
import logging
import shutil
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from app.api.formats import npy
from app.errors import CorruptVersion, EngineError
from app.main import create_app
from app.models.loader import open_saved_models, release_memory
from app.models.probe import probe
from app.models.savedmodel import SavedModelEngine
from app.models.store import ModelStore
from app.settings import Settings
from tests.support.fake_store import SHAPE
from tests.support.real_store import SMALL, export, publish_real
from tests.support.server import serving
from training.config import PRESETS

pytestmark = pytest.mark.slow

NPY = {"accept": npy.MEDIA_TYPE}
Z = {"z": [[0.5, -0.5], [1.0, 2.0]]}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A store with two versions that differ."""
    root = tmp_path_factory.mktemp("whole") / "store"
    for seed in (1, 2):
        publish_real(root, SMALL.model_copy(update={"seed": seed}))
    return root


@pytest.fixture
def store(whole, tmp_path) -> Path:
    """A copy of it that may be changed; the first version is pinned."""
    root = tmp_path / "store"
    shutil.copytree(whole, root)
    pin(root, 1)
    return root


def pin(store: Path, version: int) -> None:
    (store / "pin.new").write_text(f"{version}\n")
    (store / "pin.new").rename(store / "pin")


@asynccontextmanager
async def running(store: Path, opened: list[Any]) -> AsyncIterator[httpx.AsyncClient]:
    def open_engine(stored, settings):
        engine = open_saved_models(stored, settings)
        opened.append(weakref.ref(engine))
        return engine

    app = create_app(Settings(model_store=store, reload_interval_s=0.02), open_engine)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://x", timeout=60) as client,
    ):
        yield client


async def serves(client: httpx.AsyncClient, version: int) -> None:
    async with asyncio.timeout(60):
        while (await client.get("/model")).json()["version"] != version:
            await asyncio.sleep(0.01)


async def count(client: httpx.AsyncClient, name: str) -> float:
    lines = (await client.get("/metrics")).text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"digit_vae_{name} "))


async def digits(client: httpx.AsyncClient) -> tuple[int, bytes]:
    answer = await client.post("/generate", json=Z, headers=NPY)
    assert answer.status_code == 200
    return int(answer.headers["x-model-version"]), answer.content


def poison(model: Any) -> None:
    weights = model.generator.layers[-3].get_weights()
    model.generator.layers[-3].set_weights([weights[0] * np.nan, *weights[1:]])


def cut(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return change


def other_names(folder: Path) -> None:
    export(folder / "generator", {"serving_default": ("z", lambda z: {"picture": z})})


def other_shape(folder: Path) -> None:
    export(folder / "generator", {each: ("z", lambda z: {"image": z}) for each in ("serving_default", "render")})


def with_operation(run: Callable[[], Any]) -> Callable[[Path], None]:
    """A generator that does something else on the way to its image."""

    def change(folder: Path) -> None:
        import tensorflow as tf

        def generate(z: Any) -> dict[str, Any]:
            with tf.control_dependencies([run()]):
                return {"image": tf.zeros([tf.shape(z)[0], *SHAPE])}

        export(folder / "generator", dict.fromkeys(("serving_default", "render"), ("z", generate)))

    return change


def read_file() -> Any:
    import tensorflow as tf

    return tf.io.read_file("/etc/hostname")


def write_file() -> Any:
    import tensorflow as tf

    return tf.io.write_file("/tmp/digit-vae-was-here", "x")


def save_tensor() -> Any:
    import tensorflow as tf

    return tf.raw_ops.SaveV2(
        prefix="/tmp/digit-vae-was-here", tensor_names=["x"], shape_and_slices=[""], tensors=[tf.zeros(1)]
    )


def call_python() -> Any:
    import tensorflow as tf

    return tf.py_function(lambda: 0.0, [], tf.float32)


def loop() -> Any:
    import tensorflow as tf

    return tf.while_loop(lambda i: i < 10**9, lambda i: (i + 1,), (tf.constant(0),))[0]


def draw() -> Any:
    import tensorflow as tf

    return tf.random.normal([1])


FAULTS: dict[str, dict[str, Any]] = {
    "a graph cut short": {"spoil_files": cut("generator/saved_model.pb")},
    "weights cut short": {"spoil_files": cut("encoder/variables/variables.data-00000-of-00001")},
    "no weights": {"spoil_files": lambda folder: shutil.rmtree(folder / "encoder" / "variables")},
    "no index": {"spoil_files": lambda folder: (folder / "encoder" / "variables" / "variables.index").unlink()},
    "noise for a graph": {"spoil_files": lambda folder: (folder / "encoder" / "saved_model.pb").write_bytes(b"x" * 99)},
    "another signature": {"spoil_files": other_names},
    "another shape": {"spoil_files": other_shape},
    "weights that are not numbers": {"spoil_weights": poison},
}
for forbidden in (read_file, write_file, save_tensor, call_python, loop, draw):
    FAULTS[f"a graph that may {forbidden.__name__}"] = {"spoil_files": with_operation(forbidden)}


@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_version_is_not_loaded_or_does_not_pass_the_probe(name, tmp_path):
    publish_real(tmp_path, **FAULTS[name])
    stored = ModelStore(tmp_path).open()
    stored.verify()  # its digests are right
    why = "The operation" if name.startswith("a graph that may") else "."
    with pytest.raises((CorruptVersion, EngineError), match=why):
        probe(SavedModelEngine(stored))
    assert not list(Path("/tmp").glob("digit-vae-was-here*"))


@pytest.mark.long
async def test_faulty_versions_one_after_the_other_leave_the_first_one_serving(store, caplog):
    caplog.set_level(logging.ERROR)
    opened: list[Any] = []
    async with running(store, opened) as client:
        before = await digits(client)
        for done, fault in enumerate(FAULTS.values(), 1):
            pin(store, publish_real(store, **fault))
            async with asyncio.timeout(60):
                while await count(client, "reload_failures_total") < done:
                    assert await digits(client) == before
                    await asyncio.sleep(0.01)
            assert (await client.get("/readyz")).status_code == 200
        await asyncio.sleep(0.2)
        assert await digits(client) == before
        assert await count(client, "reload_failures_total") == len(FAULTS)
        told = [record.getMessage() for record in caplog.records if record.name == "app.models.reloader"]
        assert len(told) == len(FAULTS)
        pin(store, 2)
        await serves(client, 2)
        assert await digits(client) != before
    assert [engine() for engine in opened[1:-1] if engine() is not None] == []


async def test_under_load_every_answer_is_its_versions_to_the_bit(store):
    """Two rows a request, always: a batch of another size may round the last bit another way."""
    async with running(store, []) as client:
        expected = {}
        for version in (1, 2):
            pin(store, version)
            await serves(client, version)
            expected[version] = await digits(client)
        assert expected[1][1] != expected[2][1]
        seen: list[tuple[int, bytes]] = []
        over = False

        async def caller() -> None:
            while not over:
                seen.append(await digits(client))
                await asyncio.sleep(0)

        calling = asyncio.create_task(caller())
        for change in range(8):
            pin(store, 1 + change % 2)
            await serves(client, 1 + change % 2)
        over = True
        await calling
    assert {version for version, _ in seen} == {1, 2}
    assert set(seen) == set(expected.values())


def resident_mb() -> float:
    return int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0]) / 1024


@pytest.mark.long
async def test_versions_that_were_let_go_leave_no_memory_behind(tmp_path, monkeypatch):
    """Changes between models of 11 MB each: were every second one kept, the last six would find 90 MB more."""
    monkeypatch.setattr("app.models.savedmodel.WARM_ROWS", (1, 64, 1024))  # the others take time and no memory
    store = tmp_path / "store"
    large = PRESETS["best"]
    for seed in (1, 2):
        publish_real(store, large.model_copy(update={"seed": seed}))
    opened: list[Any] = []
    async with running(store, opened) as client:
        sizes = []
        for change in range(30):
            pin(store, 1 + change % 2)
            await serves(client, 1 + change % 2)
            await digits(client)
            release_memory()
            sizes.append(resident_mb())
        await asyncio.sleep(0.2)
        assert sum(engine() is not None for engine in opened) <= 2
    assert np.mean(sizes[-6:]) - np.mean(sizes[6:12]) < 30


@pytest.mark.parametrize(
    "activation",
    ["relu", "relu6", "silu", "gelu", "elu", "selu", "celu", "tanh", "sigmoid", "hard_sigmoid", "hard_silu", "mish",
     "softplus", "softsign", "leaky_relu", "exponential", "linear", "log_sigmoid", "softmax", "squareplus"],
)  # fmt: skip
def test_whatever_training_exports_may_be_loaded(activation, tmp_path):
    publish_real(tmp_path, SMALL.model_copy(update={"activation": activation, "fourier_features": 4}))
    engine = SavedModelEngine(ModelStore(tmp_path).open())
    probe(engine)
    engine.close()
    with pytest.raises(EngineError):
        engine.generate_uint8(np.zeros((1, 2), np.float32))


def test_two_workers_change_over_and_back(store, tmp_path):
    settings = {"VAE_RELOAD_INTERVAL_S": "0.1"}
    with (
        serving(store, tmp_path / "log", "--workers", "2", **settings) as server,
        httpx.Client(base_url=server.url, trust_env=False) as client,
    ):
        for version in (2, 1):
            pin(store, version)
            for _ in range(600):
                with httpx.Client(base_url=server.url, trust_env=False, timeout=30) as anew:
                    seen = {anew.post("/generate", json=Z).headers["x-model-version"] for _ in range(3)}
                if seen == {str(version)} and f"digit_vae_model_version {version}\n" in client.get("/metrics").text:
                    break
            assert seen == {str(version)}
        assert "digit_vae_reload_failures_total 0" in client.get("/metrics").text
        assert server.stop() == 0
