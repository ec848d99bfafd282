from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from app.memory import give_back

# Small blocks, so that the allocator does not ask the system for each; one that lives above them keeps the heap long.
PROGRAM = """
from app.memory import give_back
def resident(): return int(open("/proc/self/statm").read().split()[1]) * 4096
blocks = [bytes(60_000) for _ in range(2000)]
last = bytes(60_000)
del blocks
before = resident()
give_back()
print(before - resident())
"""


def test_free_memory_goes_back_to_the_system():
    if not hasattr(ctypes.CDLL(None), "malloc_trim"):
        pytest.skip("this C library keeps or returns memory as it likes")
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 50_000_000


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    give_back()
