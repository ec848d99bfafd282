import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from app.server.signals import SENT, taken_elsewhere
from tests.support.paths import ROOT


def blocked() -> set[int]:
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, ()))


def test_inside_signals_interrupt_neither_this_thread_nor_those_that_it_starts():
    before, found = blocked(), []
    with taken_elsewhere():
        thread = threading.Thread(target=lambda: found.append(blocked()))
        thread.start()
        thread.join()
        assert set(SENT) <= blocked()
        assert set(SENT) <= found[0]
    assert blocked() == before


def test_their_handlers_run_in_the_main_thread_as_ever():
    told = []
    before = signal.signal(signal.SIGUSR1, lambda signum, frame: told.append(threading.current_thread()))
    try:
        with taken_elsewhere():
            os.kill(os.getpid(), signal.SIGUSR1)
            deadline = time.monotonic() + 10
            while not told and time.monotonic() < deadline:
                time.sleep(0.001)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert told == [threading.main_thread()]


STORM = """
import os, signal, sys, threading, time
import numpy as np
from app.models.loader import open_saved_models
from app.settings import Settings
from app.server.signals import taken_elsewhere
from app.models.store import ModelStore

def storm(received):
    while True:
        time.sleep(0.0005)
        os.kill(os.getpid(), signal.SIGUSR1)

received = []
signal.signal(signal.SIGUSR1, lambda signum, frame: received.append(1))
with taken_elsewhere():
    settings = Settings()
    engine = open_saved_models(ModelStore(settings.model_store).open(), settings)
    draws = np.random.default_rng(0)
    z, images = draws.standard_normal((200, 2)).astype(np.float32), draws.random((200, 28, 28), np.float32)
    digits, means = engine.generate_uint8(z)[0], engine.encode(images)[0]
    threading.Thread(target=storm, args=(received,), daemon=True).start()
    until = time.monotonic() + 5
    while time.monotonic() < until:
        assert np.array_equal(engine.generate_uint8(z)[0], digits)
        assert np.array_equal(engine.encode(images)[0], means)
    assert len(received) > 100
    os.write(1, b"whole")
    os._exit(0)
"""


@pytest.mark.slow
def test_the_model_computes_the_same_in_a_storm_of_signals():
    """Where they are not kept away, this ends by SIGABRT within a second."""
    done = subprocess.run([sys.executable, "-c", STORM], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "whole"), done.stderr
