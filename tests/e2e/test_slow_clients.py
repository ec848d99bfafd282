"""tests/reliability/slow_clients.py, shortened: hundreds of slow callers by slowhttptest, against the real service."""

import shutil

import pytest

from tests.reliability.slow_clients import run
from tests.support.paths import ROOT

ALLOWED_S = {"heads": 3.0, "bodies": 4.0, "answers": 5.0}


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("slowhttptest") is None, reason="needs slowhttptest: apt-get install slowhttptest")
def test_slow_callers_are_closed_and_good_ones_answered():
    for found in run(ROOT / "model_store", 200, ALLOWED_S):
        assert found.connections >= 190, found
        assert found.shielded, found
