"""Processes of their own, with the fake engine: what they leave behind is their exit code."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.paths import ROOT

SERVER = """
import sys, threading
import uvicorn
from app.main import create_app
from app.settings import Settings
from tests.support.fakes import FakeEngine

class Faulty(FakeEngine):
    max_inline_batch = int(sys.argv[2])

    def _note(self, batch):
        if (batch == 13).any():
            self.lost = True
        if (batch == 99).any():
            threading.Event().wait()
        if getattr(self, "lost", False):
            raise RuntimeError("CUDA error: device lost")

uvicorn.run(create_app(Settings(), lambda stored, settings: Faulty()), port=int(sys.argv[1]))
"""


@contextmanager
def faulty_server(store: Path, max_inline_batch: int = 0, **environment: str):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(port), str(max_inline_batch)],
        cwd=ROOT,
        env={**os.environ, "VAE_MODEL_STORE": str(store), **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
            wait_ready(client)
            yield process, client
    finally:
        process.kill()
        process.communicate()


def wait_ready(client: httpx.Client) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("not ready")


def test_a_lost_model_makes_the_process_unready_and_then_end(store):
    with faulty_server(store, VAE_RECOVERY_S="1") as (process, client):
        assert client.post("/generate", json={"z": [13, 0]}).status_code == 500
        deadline = time.monotonic() + 5
        while (answer := client.get("/readyz")).status_code == 200:
            assert time.monotonic() < deadline
        assert answer.json()["code"] == "model-failing"
        assert process.wait(10) == os.EX_SOFTWARE
        assert "to be started anew" in process.stderr.read()


def test_a_model_call_that_hangs_answers_those_who_wait_with_503_and_ends_the_process(store):
    with faulty_server(store, VAE_MODEL_TIMEOUT_S="1") as (process, client):
        answer = client.post("/generate", json={"z": [99, 0]})
        assert (answer.status_code, answer.json()["code"]) == (503, "model-failing")
        assert client.get("/readyz").status_code == 503
        assert client.post("/generate", json={"z": [0, 0]}).json()["code"] == "model-failing"
        assert process.wait(10) == os.EX_SOFTWARE
        log = process.stderr.read()
        assert "a model call has been stuck" in log
        assert "_note" in log  # where the thread hangs


def test_a_model_call_that_hangs_on_the_event_loop_ends_the_process(store):
    with faulty_server(store, max_inline_batch=1, VAE_MODEL_TIMEOUT_S="1") as (process, client):
        with pytest.raises(httpx.TransportError):
            client.post("/generate", json={"z": [99, 0]})
        assert process.wait(10) == os.EX_SOFTWARE
        assert "the event loop has been stuck" in process.stderr.read()


LEAVING = """
import atexit, logging.handlers, sys
from app.server.exit import exit_process
atexit.register(print, "the long way out")
logging.basicConfig(handlers=[logging.handlers.MemoryHandler(100, target=logging.StreamHandler())])
logging.warning("the last line")
sys.stdout.write("printed, not yet flushed")
exit_process(int(sys.argv[1]))
"""


@pytest.mark.parametrize("code", [0, 7])
def test_leaving_skips_the_interpreters_way_out_but_loses_no_words(code):
    done = subprocess.run(
        [sys.executable, "-c", LEAVING, str(code)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (code, "printed, not yet flushed")
    assert "the last line" in done.stderr


CLOGGED = """
import sys
from app.server import exit
exit.LAST_WORDS_S = 1
sys.stdout.write("one more word")
exit.exit_process(0)
"""


def test_a_log_that_nobody_reads_does_not_keep_the_process():
    unread, pipe = os.pipe()
    os.write(pipe, bytes(fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ)))  # full
    environment = {**os.environ, "PYTHONUNBUFFERED": ""}
    with subprocess.Popen([sys.executable, "-c", CLOGGED], cwd=ROOT, stdout=pipe, env=environment) as process:
        try:
            assert process.wait(20) == -signal.SIGALRM
        finally:
            process.kill()
            os.close(unread)
            os.close(pipe)
