from pathlib import Path

import numpy as np
import pytest

from app.cli.__main__ import main
from app.main import create_app
from app.settings import Settings
from tests.support.fake_store import publish_fake
from tests.support.fakes import FakeEngine
from tests.support.live import serving_in_thread
from tests.support.pictures import file_of


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A store that several tests read."""
    root = tmp_path_factory.mktemp("shared") / "store"
    publish_fake(root)
    return root


@pytest.fixture(scope="module")
def url(shared):
    app = create_app(Settings(model_store=shared), lambda stored, settings: FakeEngine())
    with serving_in_thread(app) as address:
        yield address


@pytest.fixture(params=["url", "store"])
def run(request, shared, tmp_path, monkeypatch):
    """Runs a command against a running service, or on the store; in an empty folder."""
    where = ["--url", request.getfixturevalue("url")] if request.param == "url" else ["--store", str(shared)]
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: main([*arguments, *where], lambda stored, settings: FakeEngine())


@pytest.fixture
def digits(digit) -> dict[str, np.ndarray]:
    """A digit of each of three sub-folders, and what must not be taken."""
    found = {"7/a.png": digit, "7/b.png": digit.T.copy(), "1/deep/c.PNG": digit[::-1].copy(), "top.png": digit // 2}
    for name, levels in found.items():
        path = Path("digits") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file_of(levels))
    (Path("digits") / "notes.txt").write_text("no picture")
    (Path("digits") / ".hidden.png").write_text("no picture")
    return found


@pytest.fixture
def digits_of_two(digit, tmp_path) -> Path:
    """A folder of two pictures."""
    folder = tmp_path / "two"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(file_of(digit))
    return folder
