from __future__ import annotations

import pytest

from app.cli.__main__ import main
from app.main import create_app
from app.settings import Settings
from tests.support.fake_store import publish_fake
from tests.support.fakes import FakeEngine
from tests.support.live import serving_in_thread


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
