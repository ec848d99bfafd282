import pytest

from app.server import machine


@pytest.mark.parametrize(
    ("cores", "gigabytes", "gpu", "workers"),
    [(1, 8, False, 1), (2, 8, False, 2), (64, 128, False, 4), (8, 2, False, 2), (8, 0.5, False, 1), (8, 64, True, 1)],
)
def test_workers_are_as_many_as_the_machine_feeds(cores, gigabytes, gpu, workers, monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "_cores", lambda: cores)
    monkeypatch.setattr(machine, "_memory_bytes", lambda: int(gigabytes * 2**30))
    monkeypatch.setattr(machine, "GPU_NODES", (str(tmp_path),) if gpu else ())
    assert machine.default_workers() == workers


@pytest.mark.parametrize(
    ("cores", "workers", "gpu", "threads"), [(1, 1, False, 1), (2, 1, False, 2), (2, 2, False, 1), (9, 4, False, 2),
                                             (2, 4, False, 1), (8, 1, True, 1)],
)  # fmt: skip
def test_a_large_batch_gets_the_cores_of_its_worker(cores, workers, gpu, threads, monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "_cores", lambda: cores)
    monkeypatch.setattr(machine, "GPU_NODES", (str(tmp_path),) if gpu else ())
    assert machine.default_batch_threads(workers) == threads
