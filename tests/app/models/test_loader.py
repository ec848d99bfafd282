import ctypes
import subprocess
import sys
import weakref

import pytest

from app.models.loader import release_memory

# Small blocks, so that the allocator does not ask the system for each; one that lives above them keeps the heap long.
PROGRAM = """
from app.models.loader import release_memory
def resident(): return int(open("/proc/self/statm").read().split()[1]) * 4096
blocks = [bytes(60_000) for _ in range(2000)]
last = bytes(60_000)
del blocks
before = resident()
release_memory()
print(before - resident())
"""


def test_free_memory_goes_back_to_the_system():
    if not hasattr(ctypes.CDLL(None), "malloc_trim"):
        pytest.skip("this C library keeps or returns memory as it likes")
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 50_000_000


class Knot:
    """Garbage that only the collector finds."""

    def __init__(self) -> None:
        self.itself = self


def test_with_another_c_library_garbage_is_collected_all_the_same(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    knot = Knot()
    left = weakref.ref(knot)
    del knot
    release_memory()
    assert left() is None
