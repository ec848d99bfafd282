import sys

import pytest

from app.cli.__main__ import main
from tests.app.cli.test_main import NAMES


def test_completion_without_its_package_says_how_to_get_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 1
    assert "pip install shtab" in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_knows_every_command_and_option(shell, capsys):
    pytest.importorskip("shtab")
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for word in (*NAMES, "--workers", "--preset", "--sample", "--columns", "--low", "verify"):
        assert word.lstrip("-") in script
