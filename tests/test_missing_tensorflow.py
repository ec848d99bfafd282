"""Every program without TensorFlow: it says in a line which extra brings it, before any work."""

import sys

import pytest

from app.cli import serve
from app.cli.__main__ import main as digit_vae
from training.__main__ import main as training


@pytest.fixture(autouse=True)
def without_tensorflow(monkeypatch, store):
    monkeypatch.setitem(sys.modules, "tensorflow", None)  # what importlib takes for a module that is not there
    monkeypatch.setenv("VAE_MODEL_STORE", str(store))


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(lambda store: serve.main(["--port", "0"]), id="service"),
        pytest.param(lambda store: digit_vae(["generate", "--z", "0,0", "--store", str(store)]), id="command"),
        pytest.param(lambda store: training(["--data", "mnist-5k", "--store", str(store)]), id="training"),
        pytest.param(lambda store: training(["evaluate", "--data", "mnist-5k", "--store", str(store)]), id="measuring"),
    ],
)
def test_it_is_one_line_that_names_the_extras(run, store, capsys):
    assert run(store) == 1
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert line.startswith("error: TensorFlow is not installed.")
    assert "[cpu]" in line
    assert "[gpu]" in line
    assert not printed.out
