"""The command line of training, as a person calls it: bad input is one line and a non-zero exit."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from app.models.store import ModelStore
from tests.support.forked import Forked
from tests.support.paths import ROOT
from training.__main__ import main


def training(*arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "training", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def failure(*arguments, **environment):
    with training(*arguments, **environment) as process:
        _, errors = process.communicate(timeout=300)
    lines = [line for line in errors.splitlines() if line.startswith("error:")]
    assert process.returncode == 1
    assert "Traceback" not in errors
    assert len(lines) == 1
    return lines[0]


def saved(path, **arrays):
    x, y = np.zeros((40, 28, 28), np.uint8), np.zeros(40, np.uint8)
    whole = {"x_train": x, "y_train": y, "x_test": x, "y_test": y} | arrays
    np.savez(path, **{name: array for name, array in whole.items() if array is not None})
    return path


def test_bad_data_and_a_bad_store_are_one_line(tmp_path):
    store = tmp_path / "store"
    cases = [
        (("--data", tmp_path / "missing.npz"), "There is no data set"),
        (("--data", saved(tmp_path / "a.npz", y_train=None)), "lacks y_train"),
        (("--data", saved(tmp_path / "b.npz", x_train=np.zeros((40, 784), np.uint8))), "n, height, width"),
    ]
    for arguments, words in cases:
        assert words in failure(*arguments, "--store", store)
    assert ModelStore(store).versions() == []
    assert "cannot be written" in failure("--data", "mnist-5k", "--store", tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--epochs", "0"), ("--epochs", "many"), ("--batch-size", "0"), ("--limit", "-1"), ("--seed", "-1"),
        ("--learning-rate", "0"), ("--warp", "4"), ("--latent-dim", "1000"), ("--save-every", "-1"), ("--size", "0"),
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_an_error_of_the_command_line(option, value, tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        main([option, value, "--store", str(tmp_path / "store")])
    assert left.value.code == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"error: argument {option}: ")
    assert len(shown.splitlines()) == 1
    assert not (tmp_path / "store").exists()


@pytest.mark.slow
def test_without_a_network_the_download_says_what_to_do_instead(tmp_path):
    line = failure(
        *("--data", "mnist", "--store", tmp_path / "store"),
        KERAS_HOME=str(tmp_path),
        VAE_MNIST="",
        https_proxy="http://127.0.0.1:9",
        HTTPS_PROXY="http://127.0.0.1:9",
    )
    assert "mnist-5k" in line


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130)])
def test_an_interrupted_training_publishes_nothing(tmp_path, number, code):
    command = ["-m", "training", "--data", "mnist-5k", "--epochs", 100_000, "--store", tmp_path / "store"]
    with Forked(command) as process:
        for line in process.stdout:
            if line.startswith("epoch"):
                break
        time.sleep(0.2)
        process.send_signal(number)
        _, errors = process.communicate(timeout=300)
    assert process.returncode == code
    assert "nothing was published" in errors
    assert "Traceback" not in errors
    assert ModelStore(tmp_path / "store").versions() == []


@pytest.mark.slow
def test_training_then_measuring_again_gives_the_same_numbers(few, tmp_path):
    places = ("--data", few, "--store", tmp_path / "store", "--runs", tmp_path / "runs")
    logs = tmp_path / "logs"
    with training(*places, "--epochs", 2, "--limit", 1000, "--tensorboard", logs) as process:
        output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert "published version 1" in output
    assert "generator: 2-256-784 units, 202,256 parameters\nnats per image" in output  # before the first epoch
    assert all(len(line) <= 80 for line in output.splitlines() if str(tmp_path) not in line)
    assert errors == ""  # nothing of TensorFlow's
    assert sorted(path.parent.name for path in logs.rglob("events*")) == ["test", "train"]
    manifest = ModelStore(tmp_path / "store").open().manifest
    with training("evaluate", *places, "--version", 1) as process:
        output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    told = json.loads(output)
    assert told["measures"] == pytest.approx(manifest.measures, rel=1e-5)
    assert told["data"]["sha256"] == manifest.data.sha256


def test_measuring_what_is_not_there_is_one_line(tmp_path):
    assert "No version is published" in failure("evaluate", "--store", tmp_path / "store", "--data", "mnist-5k")
