"""The whole application on a store that changes under it; engines whose answers tell their version."""

import asyncio
import json
import logging
import os
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import httpx
import numpy as np
import pytest

from app.api.formats import npy
from app.errors import CorruptVersion
from app.imaging.png import encode_png
from app.imaging.sheets import to_uint8
from app.main import create_app
from app.models.engine import Posterior
from app.models.store import PARTS, ModelStore
from app.settings import Settings
from tests.support.fake_store import D, publish_fake
from tests.support.fakes import FakeEngine, paint

NPY = {"content-type": npy.MEDIA_TYPE, "accept": npy.MEDIA_TYPE}
NOBODY = 65534


class Versioned(FakeEngine):
    """Version v paints z + v, and encodes everything as v."""

    def __init__(self, version: int) -> None:
        super().__init__()
        self.version = version

    def encode(self, images):
        self._note(images)
        return Posterior(np.full((len(images), D), self.version, np.float32), np.zeros((len(images), D), np.float32))

    def generate(self, z):
        self._note(z)
        return (paint(z + self.version),)


class Running:
    """An application that looks at its store all the time, and what it opened."""

    def __init__(self, store: Path, engine: Callable[[int], FakeEngine] = Versioned, **settings) -> None:
        self.engines: list[FakeEngine] = []
        self.opened: list[int] = []
        self.store = store

        def open_engine(stored, settings):
            self.opened.append(stored.version)
            self.engines.append(engine(stored.version))
            return self.engines[-1]

        settings = {"reload_interval_s": 0.01, "request_timeout_s": 5} | settings
        self.app = create_app(Settings(model_store=store, **settings), open_engine)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Running"]:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with (
            self.app.router.lifespan_context(self.app),
            httpx.AsyncClient(transport=transport, base_url="http://x") as self.client,
        ):
            yield self

    async def version(self) -> int:
        return int((await self.client.get("/model")).json()["version"])

    async def serves(self, version: int) -> None:
        await until(lambda: self.app.service is not None and self.app.service.model.version == version)
        assert await self.version() == version

    async def count(self, name: str) -> float:
        lines = (await self.client.get("/metrics")).text.splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"digit_vae_{name} "))

    async def refuses(self) -> None:
        """Wait until a version was refused, and then for so long that it would have been tried again."""
        while not await self.count("reload_failures_total"):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.fixture
async def running(store) -> AsyncIterator[Running]:
    async with Running(store).serving() as running:
        yield running


def pin(store: Path, text: object) -> None:
    (store / "pin.new").write_text(f"{text}\n")
    (store / "pin.new").rename(store / "pin")


def arrives(store: Path, change: Callable[[Path], object]) -> None:
    """The next version, changed before anybody could see it."""
    elsewhere = store.with_name("elsewhere")
    shutil.copytree(store, elsewhere)
    version = str(publish_fake(elsewhere))
    change(elsewhere)
    for part in (*PARTS, "reports"):
        (elsewhere / part / version).rename(store / part / version)
    (elsewhere / "manifests" / f"{version}.json").rename(store / "manifests" / f"{version}.json")
    shutil.rmtree(elsewhere)


async def test_a_newer_version_is_served_without_a_restart(running):
    answer = await running.client.post("/generate", json={"z": [0, 0]})
    assert answer.headers["x-model-version"] == "1"
    publish_fake(running.store)
    await running.serves(2)
    answer = await running.client.post("/generate", json={"z": [0, 0]}, headers={"accept": npy.MEDIA_TYPE})
    assert answer.headers["x-model-version"] == "2"
    assert np.array_equal(npy.loads(answer.content), to_uint8(paint(np.full((1, 2), 2))))
    assert await running.count("model_version") == 2
    assert await running.count("reloads_total") == 1
    assert await running.count("reload_failures_total") == 0
    assert [engine.warm for engine in running.engines] == [True, True]


async def test_a_pin_in_the_store_rolls_back_and_holds_until_it_is_taken_away(running):
    publish_fake(running.store)
    await running.serves(2)
    pin(running.store, 1)
    await running.serves(1)
    publish_fake(running.store)
    await asyncio.sleep(0.05)
    assert await running.version() == 1
    (running.store / "pin").unlink()
    await running.serves(3)


async def test_a_version_that_is_withdrawn_makes_way_for_the_one_before(running):
    publish_fake(running.store)
    await running.serves(2)
    (running.store / "manifests" / "2.json").unlink()
    await running.serves(1)


async def test_what_the_operator_has_set_goes_before_pin_and_newest(store):
    publish_fake(store)
    async with Running(store, model_version=1).serving() as running:
        pin(store, 2)
        publish_fake(store)
        await asyncio.sleep(0.1)
        assert await running.version() == 1
        assert running.opened == [1]


async def test_the_pin_holds_from_the_start(store):
    publish_fake(store)
    pin(store, 1)
    async with Running(store).serving() as running:
        assert await running.version() == 1


async def test_an_interval_of_0_never_looks(store):
    async with Running(store, reload_interval_s=0).serving() as running:
        publish_fake(store)
        await asyncio.sleep(0.05)
        assert await running.version() == 1


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])


def link_file(path: Path) -> None:
    other = path.with_name("other")
    path.rename(other)
    path.symlink_to(other)


def link_folder(root: Path) -> None:
    (root / "encoder" / "2" / "variables").rename(root / "encoder" / "away")
    (root / "encoder" / "2" / "variables").symlink_to(root / "encoder" / "away")


def edit_manifest(root: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = root / "manifests" / "2.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


PB = Path("generator", "2", "saved_model.pb")
SHARD = Path("generator", "2", "variables", "variables.index")
BAD_FILES = {
    "a truncated graph": lambda root: truncate(root / PB),
    "a flipped bit": lambda root: flip(root / SHARD),
    "a missing shard": lambda root: (root / SHARD).unlink(),
    "a folder for a file": lambda root: ((root / SHARD).unlink(), (root / SHARD).mkdir()),
    "a surplus file": lambda root: (root / PB).with_name("more.pb").write_bytes(b"x"),
    "a link for a file": lambda root: link_file(root / SHARD),
    "a link for a folder": link_folder,
    "a link in the report": lambda root: link_file(root / "reports" / "2" / "latent.png"),
    "a wrong digest": lambda root: edit_manifest(root, lambda d: d["files"][0].update(sha256="0" * 64)),
    "a path that leaves": lambda root: edit_manifest(root, lambda d: d["files"][0].update(path="encoder/../x")),
    "a path of another version": lambda root: edit_manifest(
        root, lambda d: d["files"][0].update(path="encoder/1/saved_model.pb")
    ),
    "another number": lambda root: edit_manifest(root, lambda d: d.update(version=3)),
    "half a manifest": lambda root: truncate(root / "manifests" / "2.json") or truncate(root / "manifests" / "2.json"),
    "no manifest at all": lambda root: (root / "manifests" / "2.json").write_text("\n"),
}


def errors(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


async def told_once(running: Running, caplog) -> None:
    """The first version serves on, ready; one line and one count say that the second does not."""
    await running.refuses()
    assert await running.version() == 1
    assert (await running.client.get("/readyz")).status_code == 200
    assert (await running.client.post("/generate", json={"z": [0, 0]})).headers["x-model-version"] == "1"
    assert await running.count("reload_failures_total") == 1
    assert await running.count("model_version") == 1
    (line,) = errors(caplog)
    assert "version 2 is refused, 1 serves on" in line
    assert "\n" not in line


@pytest.mark.parametrize("damage", BAD_FILES.values(), ids=BAD_FILES)
async def test_a_version_with_bad_files_is_refused_once_and_never_opened(damage, running, caplog):
    arrives(running.store, damage)
    await told_once(running, caplog)
    assert running.opened == [1]


async def test_a_version_that_cannot_be_read_is_refused_until_it_can(caplog):
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder, "store")
        publish_fake(store)
        os.chmod(folder, 0o755)
        async with Running(store).serving() as running:
            before = os.geteuid()
            try:
                arrives(store, lambda root: (root / SHARD).chmod(0))
                if before == 0:
                    os.seteuid(NOBODY)  # root may read anything
                await told_once(running, caplog)
            finally:
                os.seteuid(before)
            (store / SHARD).chmod(0o644)
            await running.serves(2)


async def test_a_version_that_is_mended_is_served(running):
    whole = (running.store / "generator" / "1" / "saved_model.pb").read_bytes()
    arrives(running.store, lambda root: truncate(root / PB))
    await running.refuses()
    (running.store / PB).write_bytes(whole)
    await running.serves(2)


async def test_a_bad_version_does_not_keep_a_later_one_from_being_served(running):
    arrives(running.store, lambda root: truncate(root / PB))
    await running.refuses()
    publish_fake(running.store)
    await running.serves(3)
    assert await running.count("reload_failures_total") == 1


class Faulty(Versioned):
    """A model that loads and then does not do what it should."""

    def __init__(self, version: int, fault: str) -> None:
        super().__init__(version)
        self.fault = fault if version == 2 else ""
        if self.fault == "signature":
            raise CorruptVersion("The signature render(z) -> image is missing.")
        if self.fault == "unforeseen":
            raise MemoryError("\n".join("no room" for _ in range(1000)))

    def encode(self, images):
        posterior = super().encode(images)
        return (
            Posterior(posterior.z_mean * np.float32("nan"), posterior.z_log_var) if self.fault == "nan" else posterior
        )

    def generate(self, z):
        (images,) = super().generate(z)
        return ({"range": images * 2, "shape": images[:, 1:]}.get(self.fault, images),)

    def warm_up(self):
        if self.fault == "warm-up":
            raise RuntimeError("out of something")
        super().warm_up()


@pytest.mark.parametrize("fault", ["signature", "unforeseen", "nan", "range", "shape", "warm-up"])
async def test_a_version_that_does_not_work_is_refused_once_and_freed(fault, store, caplog):
    async with Running(store, lambda version: Faulty(version, fault)).serving() as running:
        publish_fake(store)
        await told_once(running, caplog)
        assert running.opened == [1, 2]
        assert all(engine.closed for engine in running.engines[1:])
        assert not running.engines[0].closed


@pytest.mark.parametrize("text", ["9", "one", "", "-1", "0", "1 2", "²", "9" * 30])
async def test_a_pin_on_nothing_is_told_once(text, running, caplog):
    pin(running.store, text)
    await running.refuses()
    assert await running.version() == 1
    assert await running.count("reload_failures_total") == 1
    (line,) = errors(caplog)
    assert line.startswith("version 1 serves on: ")


async def test_a_store_that_goes_away_and_comes_back_is_served_on(running, caplog):
    away, back = running.store.with_name("away"), running.store.with_name("back")
    for _ in range(2):
        running.store.rename(away)
        await running.refuses()
        assert (await running.client.get("/readyz")).status_code == 200
        assert (await running.client.post("/generate", json={"z": [0, 0]})).status_code == 200
        shutil.copytree(away, back)  # other files, of the same content
        back.rename(running.store)
        shutil.rmtree(away)
        await asyncio.sleep(0.05)
    assert len(errors(caplog)) == 2
    assert running.opened == [1]
    publish_fake(running.store)
    await running.serves(2)


class Vanishing(Versioned):
    """Version 2 cannot be warmed up the first time, for its files are being written."""

    files: ClassVar[list[Path]] = []

    def warm_up(self):
        super().warm_up()
        if self.version == 2 and self.files:
            os.utime(self.files.pop())
            raise RuntimeError("half a file")


async def test_a_version_whose_files_change_while_it_is_loaded_is_loaded_again(store, caplog):
    async with Running(store, Vanishing).serving() as running:
        Vanishing.files.append(store / "encoder" / "2")
        publish_fake(store)
        await running.serves(2)
        assert running.opened == [1, 2, 2]
        assert not errors(caplog)


async def test_a_request_ends_on_the_version_it_began_on_which_is_then_freed(running):
    (first,) = running.engines
    first.gate = threading.Event()
    began = asyncio.create_task(running.client.post("/generate", json={"z": [[0, 0]]}, headers=NPY | {
        "content-type": "application/json"
    }))  # fmt: skip
    await until(lambda: bool(first.batches))
    publish_fake(running.store)
    await running.serves(2)
    later = asyncio.create_task(running.client.post("/generate", json={"z": [0, 0]}))
    await asyncio.sleep(0.05)
    assert not first.closed
    first.gate.set()
    answer = await began
    assert answer.headers["x-model-version"] == "1"
    assert np.array_equal(npy.loads(answer.content), to_uint8(paint(np.full((1, 2), 1))))
    assert (await later).headers["x-model-version"] == "2"
    await until(lambda: first.closed)
    assert not running.engines[1].closed


async def test_a_version_is_not_freed_under_a_model_call_whose_caller_gave_up(store):
    async with Running(store, request_timeout_s=0.2).serving() as running:
        (first,) = running.engines
        first.gate = threading.Event()
        given_up = await running.client.post("/generate", json={"z": [0, 0]})
        assert given_up.status_code == 503
        publish_fake(store)
        await running.serves(2)
        await asyncio.sleep(0.05)
        assert not first.closed
        first.gate.set()
        await until(lambda: first.closed)


async def test_a_reconstruction_takes_both_halves_from_one_version(running, digit):
    (first,) = running.engines
    first.gate = threading.Event()
    asked = {"content": npy.dumps(digit[np.newaxis]), "headers": NPY | {"accept": "application/json"}}
    began = asyncio.create_task(running.client.post("/reconstruct", **asked))
    await until(lambda: bool(first.batches))  # the encoder's call
    publish_fake(running.store)
    await running.serves(2)
    first.gate.set()
    answer = (await began).json()
    assert (answer["model_version"], answer["z_mean"]) == (1, [[1, 1]])
    assert (await running.client.post("/reconstruct", **asked)).json()["z_mean"] == [[2, 2]]


async def test_the_manifold_and_its_tag_change_with_the_version(running):
    first = await running.client.get("/manifold.png?n=3")
    assert (await running.client.get("/manifold.png?n=3")).content == first.content
    publish_fake(running.store)
    await running.serves(2)
    tagged = {"if-none-match": first.headers["etag"]}
    for headers in ({}, tagged, {}):
        second = await running.client.get("/manifold.png?n=3", headers=headers)
        assert second.status_code == 200
        assert second.headers["x-model-version"] == "2"
        assert second.content != first.content


def told(answer: httpx.Response, version: int) -> bool:
    """Whether an answer is what a version gives; all that are asked for by `CALLS`."""
    z = np.full((1, 2), version)
    painted = {"/generate": to_uint8(paint(z)), "/encode": z, "/v2/models/generator/infer": paint(z)}
    path = answer.request.url.path
    if answer.headers["content-type"] == npy.MEDIA_TYPE:
        return np.array_equal(npy.loads(answer.content), painted[path])
    if answer.headers["content-type"] == "image/png":
        return answer.content == PICTURES.setdefault((str(answer.request.url), version), answer.content)
    document = answer.json()
    if path.startswith("/v2"):
        data = np.reshape(np.float32(document["outputs"][0]["data"]), (1, 28, 28))
        return document["model_version"] == str(version) and np.array_equal(data, painted[path])
    if path.startswith("/v1"):
        return np.array_equal(np.float32(document["predictions"]), paint(z))
    return (document["model_version"], document["z_mean"]) == (version, [[version, version]])


PICTURES: dict[tuple[str, int], bytes] = {}


async def test_while_versions_change_under_load_every_answer_is_whole_and_its_versions(running, digit):
    png = encode_png(digit)
    calls = [
        ("POST", "/generate", {"json": {"z": [0, 0]}}),
        ("POST", "/generate", {"json": {"z": [0, 0]}, "headers": {"accept": npy.MEDIA_TYPE}}),
        ("POST", "/encode", {"content": png, "headers": {"content-type": "image/png"}}),
        ("POST", "/encode", {"content": npy.dumps(digit[np.newaxis]), "headers": NPY}),
        ("POST", "/reconstruct",
         {"content": png, "headers": {"content-type": "image/png", "accept": "application/json"}}),
        ("GET", "/manifold.png?n=3", {}),
        ("POST", "/v2/models/generator/infer",
         {"json": {"inputs": [{"name": "z", "shape": [1, 2], "datatype": "FP32", "data": [0, 0]}]}}),
        ("POST", "/v1/models/generator:predict", {"json": {"instances": [[0, 0]]}}),
    ]  # fmt: skip
    PICTURES.clear()
    seen: set[int] = set()
    over = False

    async def caller(method, path, arguments) -> None:
        while not over:
            answer = await running.client.request(method, path, **arguments)
            assert answer.status_code == 200, answer.text
            version = int(answer.headers["x-model-version"])
            assert told(answer, version), (path, version)
            seen.add(version)
            await asyncio.sleep(0)  # a kept manifold is answered without ever waiting

    callers = [asyncio.create_task(caller(*call)) for call in calls * 3]
    for version in range(2, 9):
        publish_fake(running.store)
        await running.serves(version)
        await asyncio.sleep(0.02)
    pin(running.store, 4)
    await running.serves(4)
    over = True
    await asyncio.gather(*callers)
    assert len(seen) >= 7
    assert len({content for (url, _), content in PICTURES.items() if "manifold" in url}) >= 5  # paint() clips
    await until(lambda: all(engine.closed for engine in running.engines[:-1]))
    assert not running.engines[-1].closed


async def test_loading_keeps_nobody_waiting(store):
    gate = threading.Event()

    class Slow(Versioned):
        def warm_up(self):
            if self.version == 2:
                gate.wait(5)
            super().warm_up()

    async with Running(store, Slow).serving() as running:
        publish_fake(store)
        await until(lambda: running.opened == [1, 2])
        for _ in range(20):
            assert (await running.client.post("/generate", json={"z": [0, 0]})).headers["x-model-version"] == "1"
        gate.set()
        await running.serves(2)


async def test_a_stop_while_a_version_is_loaded_frees_both(store):
    async with Running(store).serving() as running:
        publish_fake(store)
        await running.serves(2)
        publish_fake(store)
        await until(lambda: running.opened == [1, 2, 3])
    assert all(engine.closed for engine in running.engines)


async def test_workers_arrive_at_the_same_version_each_by_itself(store):
    async with Running(store).serving() as one, Running(store).serving() as other:
        publish_fake(store)
        await asyncio.gather(one.serves(2), other.serves(2))
        pin(store, 1)
        await asyncio.gather(one.serves(1), other.serves(1))


async def test_another_version_of_the_same_number_is_another_version(running):
    """A store that was replaced: the number says nothing, the manifest does."""
    before = await running.client.get("/manifold.png?n=2")
    edit = SimpleNamespace(path=running.store / "manifests" / "1.json")
    text = edit.path.read_text().replace('"seed": 0', '"seed": 7')
    (running.store / "new").write_text(text)
    (running.store / "new").rename(edit.path)
    await until(lambda: running.opened == [1, 1])
    await until(lambda: running.app.service.model.manifest.seed == 7)
    assert ModelStore(running.store).open().manifest.seed == 7
    assert (await running.client.get("/manifold.png?n=2")).headers["x-model-version"] == "1"
    assert before.status_code == 200
