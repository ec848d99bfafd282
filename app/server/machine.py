"""What this machine, or the container's share of it, has: cores, memory, a GPU; and what the service takes of it."""

from __future__ import annotations

import os
from pathlib import Path

MAX_WORKERS = 4
WORKER_BYTES = 2**30
GPU_NODES = ("/dev/nvidia0", "/dev/nvidiactl", "/dev/kfd")


def default_workers() -> int:
    """As many processes as the machine feeds: by cores and memory; one where there is a GPU, which has one owner."""
    if _has_gpu():
        return 1
    by_memory = _memory_bytes() // WORKER_BYTES
    return int(max(1, min(_cores(), by_memory, MAX_WORKERS)))


def default_batch_threads(workers: int) -> int:
    """Cores that each worker has to itself; one where there is a GPU, on which a batch is better left whole."""
    return 1 if _has_gpu() else max(1, int(_cores()) // workers)


def _has_gpu() -> bool:
    return any(Path(node).exists() for node in GPU_NODES)


def _cores() -> float:
    """Cores this process may use: its affinity, or its control group's share if that is less."""
    cores = float(len(os.sched_getaffinity(0)))
    quota, _, period = _read("/sys/fs/cgroup/cpu.max").partition(" ")
    return min(cores, int(quota) / int(period)) if quota.isdigit() and period.isdigit() else cores


def _memory_bytes() -> int:
    """Memory of the machine, or of the control group if that is less."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _read("/sys/fs/cgroup/memory.max")
    return min(installed, int(limit)) if limit.isdigit() else installed


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
