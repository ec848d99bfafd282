"""What several files ask of the shipped model, they ask of one server."""

from collections.abc import Iterator

import pytest

from tests.support.paths import ROOT
from tests.support.server import Server, serving


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The service as it is without any setting, on the model that comes with it."""
    with serving(ROOT / "model_store", tmp_path_factory.mktemp("shipped") / "log") as server:
        yield server
