import pytest

from app.cli import serve


def test_there_is_at_least_one_worker(capsys):
    with pytest.raises(SystemExit):
        serve.main(["--workers", "0"])
    assert "at least one" in capsys.readouterr().err
