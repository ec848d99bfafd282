"""The long tests of benchmarks/, shortened: stops, killed workers, half a minute of life."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.models.store import ModelStore
from tests.reliability.graceful_stops import stop
from tests.reliability.soak import copy_version, remove, run, withdraw
from tests.reliability.worker_kills import kill_workers
from tests.support.fake_store import publish_fake
from tests.support.paths import ROOT
from tests.support.server import serving

STORE = ROOT / "model_store"


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_stop_answers_what_is_in_flight_and_ends_well(workers):
    found = stop(STORE, workers)
    assert found.clean, found


@pytest.mark.alone  # its load is half of what the whole machine can do
@pytest.mark.slow
def test_a_killed_worker_takes_its_own_requests_with_it_and_no_others():
    found = kill_workers(STORE, 1)
    assert found.others == 0
    assert len(found.back_s) == 1
    assert found.answered > 0


@pytest.mark.alone
@pytest.mark.slow
def test_half_a_minute_of_requests_and_reloads_loses_nothing():
    found = run(STORE, 0.5, 4, 1)
    assert found.failed == {}
    assert found.answered > 100
    assert found.reloads == 4
    assert found.growth_mb < 200
    assert found.files[1] - found.files[0] < 64
    assert found.sockets_left == 0
    assert found.threads[1] - found.threads[0] < 16


@pytest.mark.slow
def test_ctrl_c_and_a_second_sigterm_end_well_too(tmp_path):
    for name, kinds in (("interrupt", [signal.SIGINT]), ("twice", [signal.SIGTERM, signal.SIGTERM])):
        with serving(STORE, tmp_path / name, workers=1) as server:
            for kind in kinds:
                server.process.send_signal(kind)
            assert server.process.wait(60) == 0, server.log.read_text()


@pytest.mark.slow
def test_several_workers_leave_no_folder_of_counts_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with serving(STORE, tmp_path / "log", workers=2) as server:
        assert list(tmp_path.glob("digit-vae-*"))
        assert server.stop() == 0
    assert not list(tmp_path.glob("digit-vae-*"))


@pytest.mark.slow
def test_workers_end_when_their_supervisor_is_killed(tmp_path):
    with serving(STORE, tmp_path / "log", workers=2) as server:
        workers = server.answering()
        while len(workers) < 2:  # a few connections may all be the same worker's
            workers |= server.answering()
        server.process.kill()
        server.process.wait()
        deadline = time.monotonic() + 30
        while any(Path(f"/proc/{worker}/fd").exists() and os.listdir(f"/proc/{worker}/fd") for worker in workers):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", server.port))


@pytest.mark.slow
def test_workers_that_cannot_start_are_a_failure(tmp_path):
    """Their version verifies, and does not load: the exit code says so, whatever the supervisor thinks of it."""
    publish_fake(tmp_path / "store")
    command = [sys.executable, "-m", "app.serve", "--port", "0", "--workers"]
    for workers in ("1", "2"):
        done = subprocess.run(
            [*command, workers],
            cwd=ROOT, env={**os.environ, "VAE_MODEL_STORE": str(tmp_path / "store")},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 3, done.stderr


def test_a_copied_version_is_whole_and_can_be_withdrawn(store):
    assert copy_version(store, 1) == 2
    ModelStore(store).open(2).verify()
    assert ModelStore(store).open(2).manifest.measures == ModelStore(store).open(1).manifest.measures
    withdraw(store, 2)
    assert ModelStore(store).versions() == [1]
    remove(store, 2)
    assert copy_version(store, 1) == 2
