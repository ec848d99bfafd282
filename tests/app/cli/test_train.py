import pytest

from app.cli import train
from app.cli.__main__ import main
from training import __main__ as training


def test_train_without_its_packages_says_how_to_get_them(monkeypatch, capsys):
    monkeypatch.setattr(train, "find_spec", lambda name: None if name == "rich" else name)
    assert main(["train", "--preset", "notebook"]) == 1
    shown = capsys.readouterr().err
    assert "digit-vae[train]" in shown
    assert "(rich)" in shown
    assert len(shown.splitlines()) == 1


def test_train_is_the_program_of_training_under_its_own_name(monkeypatch):
    called = []
    monkeypatch.setattr(training, "main", lambda *arguments: called.append(arguments) or 7)
    assert train.run(["--preset", "best", "--resume"]) == 7
    assert called == [(["--preset", "best", "--resume"], "digit-vae train")]


@pytest.mark.parametrize("asking", ["--help", "-h", "--version"])
def test_help_needs_none_of_its_packages(asking, monkeypatch, capsys):
    monkeypatch.setattr(train, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as left:
        main(["train", asking])
    assert left.value.code == 0
    assert "digit-vae" in capsys.readouterr().out
