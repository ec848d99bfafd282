from __future__ import annotations

import subprocess
import sys

import pytest

from app import serve


@pytest.mark.parametrize(
    ("cores", "gigabytes", "gpu", "workers"),
    [(1, 8, False, 1), (2, 8, False, 2), (64, 128, False, 4), (8, 2, False, 2), (8, 0.5, False, 1), (8, 64, True, 1)],
)
def test_workers_are_as_many_as_the_machine_feeds(cores, gigabytes, gpu, workers, monkeypatch, tmp_path):
    monkeypatch.setattr(serve, "_cores", lambda: cores)
    monkeypatch.setattr(serve, "_memory_bytes", lambda: int(gigabytes * 2**30))
    monkeypatch.setattr(serve, "GPU_NODES", (str(tmp_path),) if gpu else ())
    assert serve.default_workers() == workers


@pytest.mark.parametrize(
    ("cores", "workers", "gpu", "threads"), [(1, 1, False, 1), (2, 1, False, 2), (2, 2, False, 1), (9, 4, False, 2),
                                             (2, 4, False, 1), (8, 1, True, 1)],
)  # fmt: skip
def test_a_large_batch_gets_the_cores_of_its_worker(cores, workers, gpu, threads, monkeypatch, tmp_path):
    monkeypatch.setattr(serve, "_cores", lambda: cores)
    monkeypatch.setattr(serve, "GPU_NODES", (str(tmp_path),) if gpu else ())
    assert serve.default_batch_threads(workers) == threads


def test_there_is_at_least_one_worker(capsys):
    with pytest.raises(SystemExit):
        serve.main(["--workers", "0"])
    assert "at least one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("soft", "hard", "connections"), [(300, 1024, 768), (300, 8192, 4096), (1024, 1024, 768), (200, 200, 1)]
)
def test_connections_are_no_more_than_files_may_be_open(soft, hard, connections):
    told = (
        f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard})); "
        "from app.serve import _connections; from app.settings import Settings; "
        "most = _connections(Settings()).bounds.connections; "
        "print(most, resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= min(most, 1) + 100)"
    )
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(connections), "True"]
