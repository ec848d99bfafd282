"""Several devices, and several hosts, train as one does: the same batches, the same noise, the same losses."""

import json
import os
import signal
import socket
import time
from contextlib import ExitStack, contextmanager

import numpy as np
import pytest

from app.models.store import ModelStore
from tests.support.forked import Forked
from training import devices
from training.errors import TrainingError

# What another order of summing float32 makes of the losses: 2e-7 was seen after three epochs of the notebook's network
# and 2e-6 of the strongest one. Noise or rows of its own on one device make more than 1e-3 of it.
TOLERANCE = 2e-5
EPOCHS = 3

UNITS = {"notebook": {}, "best": {"encoder_units": (32, 32), "generator_units": (32, 32)}}

# argv: preset, devices. It prints how many there are, and the history.
PROGRAM = f"""
import json, sys
import tensorflow as tf
from training.config import PRESETS
from training.data.datasets import load
from training.devices import Devices, choose
from training.loop.train import train

preset, where = sys.argv[1:]
if where == "mirrored":
    cpu, logical = tf.config.list_physical_devices("CPU")[0], tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(cpu, [logical] * 2)
    chosen = Devices(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
else:
    chosen = choose()
few = {{"epochs": {EPOCHS}, "limit": 1000, "batch_size": 100, **{UNITS}[preset]}}
rows = train(PRESETS[preset].model_copy(update=few), load("mnist-5k"), devices=chosen).history
print(json.dumps([chosen.count, [[*row.train, *row.validation] for row in rows]]))
"""


def addresses(count):
    """Free ports of this machine; another program could take one before it is used, which is unlikely."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found = [f"127.0.0.1:{each.getsockname()[1]}" for each in held]
    for each in held:
        each.close()
    return found


@contextmanager
def started(commands):
    """Processes of (arguments, TF_CONFIG or None); they are ended whatever happens."""
    with ExitStack() as running:
        processes = []
        for arguments, config in commands:
            environment = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"}
            environment |= {"CUDA_VISIBLE_DEVICES": "-1", **({"TF_CONFIG": json.dumps(config)} if config else {})}
            processes.append(running.enter_context(Forked(arguments, environment)))
        yield processes


def outputs(processes, codes=(0, 0), limit_s=240):
    """What each of them printed on stdout and on stderr."""
    deadline, found = time.monotonic() + limit_s, []
    for process, code in zip(processes, codes, strict=False):
        output, errors = process.communicate(timeout=max(1, deadline - time.monotonic()))
        assert process.returncode == code, errors[-3000:]
        found.append((output, errors))
    return found


def hosts(*argument_lists):
    """A command for each of several hosts of one cluster, on this machine."""
    cluster = {"worker": addresses(len(argument_lists))}
    return [
        (arguments, {"cluster": cluster, "task": {"type": "worker", "index": i}})
        for i, arguments in enumerate(argument_lists)
    ]


def history(output):
    count, rows = json.loads(output.splitlines()[-1])
    return count, np.array(rows)


def runs(commands):
    with started(commands) as processes:
        return [history(output) for output, _ in outputs(processes)]


def check_same_curve(preset):
    program = ["-c", PROGRAM, preset]
    [(count, one)] = runs([([*program, "one"], None)])
    assert (count, one.shape) == (1, (EPOCHS, 6))
    others = [*runs([([*program, "mirrored"], None)]), *runs(hosts(*[[*program, "hosts"]] * 2))]
    assert [count for count, _ in others] == [2, 2, 2]
    for _, several in others:
        assert np.abs(several / one - 1).max() < TOLERANCE
    assert np.array_equal(others[1][1], others[2][1])  # the hosts have the very same weights


@pytest.mark.slow
def test_two_hosts_and_two_devices_have_the_loss_curve_of_one():
    check_same_curve("notebook")


@pytest.mark.long
@pytest.mark.slow
def test_two_hosts_and_two_devices_have_the_loss_curve_of_one_by_the_best_preset():
    """It has warped copies, weight decay and a running mean."""
    check_same_curve("best")


@pytest.fixture
def command(few):
    """Makes the command of a host that has a folder of its own."""

    def make(folder, *more):
        places = ["--store", folder / "store", "--runs", folder / "runs"]
        return ["-m", "training", "--data", few, *places, *more]

    return make


@pytest.mark.slow
def test_the_chief_alone_prints_and_publishes_once(command, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    with started(hosts(command(one, "--epochs", "1"), command(two, "--epochs", "1"))) as processes:
        (chief, _), (other, _) = outputs(processes)
    assert "2 devices on 2 hosts" in chief
    assert "published version 1" in chief
    assert other == ""
    assert ModelStore(one / "store").versions() == [1]
    assert not two.exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_host_that_is_stopped_stops_the_others_and_they_go_on_together(command, tmp_path, number):
    # SIGTERM is a notice of preemption to TensorFlow, which would run on.
    forever = command(tmp_path, "--epochs", "100000", "--save-every", "0.1")
    with started(hosts(forever, forever)) as (chief, other):
        assert any(line.startswith("epoch") for line in chief.stdout)
        time.sleep(1)
        other.send_signal(number)
        _, errors = chief.communicate(timeout=120)
        other.communicate(timeout=60)
    assert chief.returncode == 1
    assert "error: The hosts lost each other." in errors
    assert "Traceback" not in errors
    assert other.returncode == (130 if number == signal.SIGTERM else -number)
    assert ModelStore(tmp_path / "store").versions() == []
    with started(hosts([*forever, "--resume"], [*forever, "--resume"])) as (chief, other):
        line = next(line for line in chief.stdout if line.startswith("epoch"))
    assert not line.startswith("epoch      1/")


@pytest.mark.slow
def test_hosts_that_would_not_compute_the_same_say_so(command, tmp_path):
    with started(hosts(command(tmp_path, "--seed", "1"), command(tmp_path, "--seed", "2"))) as processes:
        for _, errors in outputs(processes, codes=(1, 1)):
            assert "not about to compute the same" in errors


@pytest.mark.slow
def test_a_batch_that_the_devices_cannot_share_evenly_is_refused(command, tmp_path):
    odd = command(tmp_path, "--batch-size", "25")
    with started(hosts(odd, odd)) as processes:
        for _, errors in outputs(processes, codes=(1, 1)):
            assert "multiple of 2" in errors


@pytest.mark.parametrize(
    ("config", "chief"),
    [
        ("", True),
        ("{}", True),
        ('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}', True),
        ('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}', False),
        ('{"cluster": {"chief": ["c:1"], "worker": ["a:1"]}, "task": {"type": "chief", "index": 0}}', True),
        ('{"cluster": {"chief": ["c:1"], "worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}', False),
    ],
)
def test_one_host_is_the_chief(monkeypatch, config, chief):
    monkeypatch.setenv("TF_CONFIG", config)
    assert devices.is_chief() is chief


@pytest.mark.parametrize("config", ["{", "[]", '{"cluster": {"worker": ["a:1"]}}', '{"cluster": 1, "task": {}}'])
def test_a_tf_config_that_is_none_is_refused(monkeypatch, config):
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(TrainingError, match="must be like"):
        devices.is_chief()
