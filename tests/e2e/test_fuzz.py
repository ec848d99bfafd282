"""tests/reliability/fuzz.py, shortened."""

import pytest

from tests.reliability import fuzz


@pytest.mark.slow
def test_damaged_bodies_are_answered_or_refused_and_cost_no_memory(tmp_path, capsys):
    assert fuzz.main(["--seconds", "8", "--crash", str(tmp_path / "crash")]) == 0, capsys.readouterr().out
