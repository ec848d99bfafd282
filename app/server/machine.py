"""Cores, memory and GPU of this machine or container, and the default numbers of workers and threads."""

import os
from pathlib import Path

MAX_WORKERS = 4
WORKER_BYTES = 2**30
GPU_NODES = ("/dev/nvidia0", "/dev/nvidiactl", "/dev/kfd")


def default_workers() -> int:
    """Return the number of workers for the cores and memory, at most MAX_WORKERS; 1 with a GPU: one process owns it."""
    if _has_gpu():
        return 1
    by_memory = _memory_bytes() // WORKER_BYTES
    return int(max(1, min(_cores(), by_memory, MAX_WORKERS)))


def default_batch_threads(workers: int) -> int:
    """Return the number of cores per worker; 1 with a GPU, so that a batch is not split."""
    return 1 if _has_gpu() else max(1, int(_cores()) // workers)


def _has_gpu() -> bool:
    return any(Path(node).exists() for node in GPU_NODES)


def _cores() -> float:
    """Return the number of cores this process may use: its affinity, or its control group's quota if that is less."""
    cores = float(len(os.sched_getaffinity(0)))
    quota, _, period = _read("/sys/fs/cgroup/cpu.max").partition(" ")
    return min(cores, int(quota) / int(period)) if quota.isdigit() and period.isdigit() else cores


def _memory_bytes() -> int:
    """Return the bytes of memory of the machine, or the limit of the control group if that is less."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _read("/sys/fs/cgroup/memory.max")
    return min(installed, int(limit)) if limit.isdigit() else installed


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
