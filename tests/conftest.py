import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import certifi
import httpx
import numpy as np
import pytest
from xdist.scheduler import LoadScopeScheduling

from app.settings import Settings
from tests.support.fake_store import publish_fake
from tests.support.fakes import FakeEngine, connected

# What a shell starts in the background without job control ignores Ctrl-C, and programs that tests start inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# What an operator sets in the environment must not decide what the tests see.
for name in [name for name in os.environ if name.startswith("VAE_") and name != "VAE_MNIST"]:
    del os.environ[name]


class ByFile(LoadScopeScheduling):
    """A file's tests share a server or a trained model; those of containers, the engine and its images.

    A browser waits for minutes where an image is built beside it, so its tests stand in the containers' row.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return "containers and browser" if "/containers/" in path or "/test_explorer" in path else path


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest is begun first, so that no process is left waiting for another's last file."""
    items.sort(key=lambda item: (item.get_closest_marker("container") is None, item.get_closest_marker("slow") is None))


@pytest.fixture(scope="session", autouse=True)
def one_certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have httpx read one certificate of an authority for each of the many clients, not all: no test uses TLS."""
    end = "-----END CERTIFICATE-----\n"
    file = tmp_path_factory.mktemp("certificates") / "one.pem"
    file.write_text(Path(certifi.where()).read_text().partition(end)[0] + end)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(file))
        yield


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one published version, to be copied: a publish waits for the disk some twenty times."""
    root = tmp_path_factory.mktemp("published") / "store"
    publish_fake(root)
    return root


@pytest.fixture
def store(published: Path, tmp_path: Path) -> Path:
    """A store with one published version, to do with as a test likes."""
    return shutil.copytree(published, tmp_path / "store")


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def settings(store: Path) -> Settings:
    return Settings(model_store=store, max_body_bytes=2**20, max_image_pixels=2_000_000, request_timeout_s=5)


@pytest.fixture
async def client(settings: Settings, engine: FakeEngine) -> AsyncIterator[httpx.AsyncClient]:
    """The whole application in this process, on the fake engine."""
    async with connected(settings, engine) as client:
        yield client


@pytest.fixture
def digit() -> np.ndarray:
    """A drawn seven as MNIST has its digits: uint8 (28, 28), light on dark, 20 pixels tall, centred by mass."""
    image = np.zeros((28, 28), np.uint8)
    image[4:7, 7:21] = 250
    for row in range(7, 24):
        right = 20 - (row - 6) // 2
        image[row, right - 3 : right] = 230
    y, x = np.mgrid[:28, :28]
    shift = [round(14 - (image * axis).sum() / image.sum()) for axis in (y, x)]
    return np.roll(image, shift, (0, 1))
