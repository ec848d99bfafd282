"""The log of a real service: with VAE_LOG_FORMAT=json every line is JSON; TensorFlow is heard if that is asked for."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.support.fake_store import publish_fake
from tests.support.paths import ROOT
from tests.support.server import START_S, serving

pytestmark = pytest.mark.slow

TALKATIVE = {"TF_CPP_MIN_LOG_LEVEL": "0"}  # by itself the build without CUDA says nothing


@pytest.mark.parametrize("workers", ["1", "2"])
def test_every_line_of_a_service_is_json(workers, tmp_path):
    log = tmp_path / "log"
    with serving(ROOT / "model_store", log, "--workers", workers, VAE_LOG_FORMAT="json") as server:
        answer = httpx.post(f"{server.url}/generate", json={"z": [0, 0]}, headers={"x-request-id": "mine"})
        assert (answer.status_code, answer.headers["x-request-id"]) == (200, "mine")
        wait_for("app.server.announcement", log)
        assert server.stop() == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {"app.models.loader", "uvicorn.error", "app.telemetry.access_log"} <= {line["logger"] for line in lines}
    (line,) = [line for line in lines if line["logger"] == "app.server.announcement"]
    assert line["message"] == f"digit-vae serves version 1 at {server.url}"
    (line,) = [line for line in lines if line.get("request_id") == "mine"]
    assert (line["route"], line["status"], line["model_version"] >= 1) == ("/generate", 200, True)
    assert not [line for line in lines if line["logger"] == "uvicorn.access"]


def test_as_text_requests_are_logged_only_if_asked_for(tmp_path):
    for arguments, expected in (((), 0), (("--access-log",), 1)):
        log = tmp_path / f"log-{expected}"
        with serving(ROOT / "model_store", log, "--workers", "1", *arguments) as server:
            httpx.get(f"{server.url}/model")
            assert server.stop() == 0
        assert sum("GET /model" in line for line in log.read_text().splitlines()) == expected


def test_nothing_of_tensorflow_is_shown_unless_asked_for(tmp_path):
    for level, expected in (("INFO", False), ("DEBUG", True)):
        log = tmp_path / level
        with serving(ROOT / "model_store", log, "--workers", "1", VAE_LOG_LEVEL=level, **TALKATIVE) as server:
            assert server.stop() == 0
        lines = log.read_text().splitlines()
        assert all(re.match(r"[A-Z]+: +\S", line) for line in lines), lines
        assert any("TensorFlow: " in line for line in lines) == expected
        assert f"digit-vae serves version 1 at {server.url}" in log.read_text()


def test_what_tensorflow_said_is_shown_if_the_model_does_not_load(tmp_path):
    publish_fake(tmp_path / "store")
    done = subprocess.run(
        [sys.executable, "-m", "app.serve", "--port", "0", "--workers", "1"],
        cwd=ROOT, env={**os.environ, **TALKATIVE, "VAE_MODEL_STORE": str(tmp_path / "store")},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert "ERROR:     TensorFlow: " in done.stderr
    assert "does not load" in done.stderr


def wait_for(word: str, log: Path) -> None:
    """Of two workers one may answer before the service is announced."""
    deadline = time.monotonic() + START_S
    while word not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
