"""Killed at any moment, a run goes on to the very weights, history and models of the unbroken one."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from app.models.store import ModelStore
from tests.support.forked import Forked
from tests.support.paths import ROOT
from tests.support.small_dataset import first
from training.config import Config
from training.data.datasets import load
from training.errors import StateError

pytestmark = pytest.mark.slow

COMMAND = ["-m", "training", "--batch-size", "20", "--data"]
LONG = ["--epochs", "30", "--warp", "0.5", "--save-every", "0.1"]


def arguments(data: Path, folder: Path, *more: str) -> list[str]:
    return [*COMMAND, str(data), "--store", str(folder / "store"), "--runs", str(folder / "runs"), *more]


def start(data: Path, folder: Path, *more: str) -> Forked:
    return Forked(arguments(data, folder, *more), together=True)


def start_strictly(data: Path, folder: Path, *more: str) -> subprocess.Popen[str]:
    """Start it as users do, and with every warning an error."""
    command = [sys.executable, "-W", "error", *arguments(data, folder, *more)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(started: Forked | subprocess.Popen[str]) -> None:
    with started as process:
        output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output


def digests(store: Path) -> dict[str, str]:
    """SHA-256 of every file of the version but its manifest, and of the manifest without its date."""
    found = {
        path.relative_to(store).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(store.rglob("*"))
        if path.is_file() and path.name != ".lock" and path.parent.name != "manifests"
    }
    manifest = ModelStore(store).open().manifest
    return found | {"manifest": manifest.model_dump_json(exclude={"created"})}


def kill_somewhere(started: Forked, moment: float) -> None:
    """Let it come to an epoch beyond the last kill, then to any step."""
    with started as process:
        assert any(line.startswith("epoch") for line in process.stdout)
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.long
@pytest.mark.parametrize("kills", [1, 5])
def test_a_run_killed_at_random_steps_ends_as_the_unbroken_one(few, tmp_path, kills):
    unbroken, broken, moments = tmp_path / "unbroken", tmp_path / "broken", random.Random()
    finish(start(few, unbroken, *LONG))
    for _ in range(kills):
        kill_somewhere(start(few, broken, *LONG, "--resume"), moments.uniform(0, 0.3))
        assert ModelStore(broken / "store").versions() == []
    # One more, that died in the middle of a save.
    (state,) = (broken / "runs").glob("notebook-*.npz")
    state.with_suffix(".tmp").write_bytes(state.read_bytes()[:1000])
    finish(start(few, broken, *LONG, "--resume"))
    assert digests(broken / "store") == digests(unbroken / "store")
    assert not state.exists()


def test_equal_seeds_publish_equal_files_even_where_warnings_are_errors_and_other_seeds_others(few, tmp_path):
    for name, seed, begin in (("one", "4", start), ("two", "4", start_strictly), ("three", "5", start)):
        finish(begin(few, tmp_path / name, "--epochs", "2", "--seed", seed))
    one, two, three = (digests(tmp_path / name / "store") for name in ("one", "two", "three"))
    assert one == two
    assert one["encoder/1/variables/variables.data-00000-of-00001"] not in three.values()


@pytest.fixture
def digits():
    return first(load("mnist-5k"), 400, 100)


CONFIG = Config(
    epochs=2, encoder_units=(16,), generator_units=(16,), batch_size=20, fourier_features=4, optimizer="adamw",
    warmup_epochs=0.5, weight_decay=0.1, average=0.99, warp=1.0,
)  # fmt: skip


# In the middle of an epoch, at its end, in the middle of the next one, and at the end of all.
@pytest.mark.parametrize("stops", [(7, 20), pytest.param((7, 20, 27, 40), marks=pytest.mark.long)])
def test_any_chunk_can_be_the_last_before_a_resume(digits, tmp_path, monkeypatch, stops):
    from training.loop import train as module
    from training.loop.checkpoint import Checkpointing, StateFile
    from training.loop.train import train

    monkeypatch.setattr(module, "CHUNK", 7)
    whole = train(CONFIG, digits)
    file = StateFile.of(CONFIG, digits, tmp_path)

    def stop_at(step):
        def on_progress(progress):
            if progress.step == step:
                raise KeyboardInterrupt

        return on_progress

    for step in stops:
        with pytest.raises(KeyboardInterrupt):
            train(CONFIG, digits, stop_at(step), Checkpointing(file, 0.0, resume=step > 7))
    resumed = train(CONFIG, digits, keeping=Checkpointing(file, 0.0, resume=True))
    pairs = zip(whole.model.trainable_variables, resumed.model.trainable_variables, strict=True)
    assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in pairs)
    assert [(row.train, row.validation) for row in whole.history] == [
        (row.train, row.validation) for row in resumed.history
    ]


def test_a_state_that_cannot_be_saved_is_a_warning_and_keeps_the_one_before(digits, tmp_path, monkeypatch):
    from training.loop.checkpoint import Checkpointing, StateFile
    from training.loop.train import train

    file, warnings = StateFile.of(CONFIG, digits, tmp_path), []
    train(CONFIG, digits, keeping=Checkpointing(file, 0.0))
    before = file.path.read_bytes()

    def full(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        train(
            CONFIG,
            digits,
            lambda progress: warnings.append((progress.step, progress.warning)),
            Checkpointing(file, 0.0),
        )
    assert warnings.pop(0) == (0, "")  # before the first step
    assert len(warnings) == 2
    assert all("No space left" in warning for _, warning in warnings)
    assert file.path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file.path]


def test_a_damaged_state_is_an_error_that_says_what_to_do(digits, tmp_path):
    from training.loop.checkpoint import Checkpointing, StateFile
    from training.loop.train import train

    file = StateFile.of(CONFIG, digits, tmp_path)
    file.path.write_bytes(b"PK\x03\x04 not much of a state")
    with pytest.raises(StateError, match="Remove it"):
        train(CONFIG, digits, keeping=Checkpointing(file, 60.0, resume=True))


def test_another_configuration_or_other_data_have_another_state(digits, tmp_path):
    from training.loop.checkpoint import StateFile

    other = CONFIG.model_copy(update={"learning_rate": 0.1})
    runs = ((CONFIG, digits), (other, digits), (CONFIG, load("mnist-5k")))
    assert len({StateFile.of(config, data, tmp_path).path for config, data in runs}) == 3
