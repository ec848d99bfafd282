"""The log of a real service: with VAE_LOG_FORMAT=json, all that Python says is JSON, whichever process speaks."""

from __future__ import annotations

import json
import re

import httpx
import pytest

from tests.e2e.server import ROOT, serving

# TensorFlow's C++ says this while it is imported, before it can be told how to log.
NATIVE = re.compile(r"WARNING: All log messages before absl::InitializeLog|[IWEF]\d{4} [\d:.]+ +\d+ \w+\.cc:\d+\] ")

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("workers", ["1", "2"])
def test_every_line_of_a_service_is_json(workers, tmp_path):
    log = tmp_path / "log"
    with serving(ROOT / "model_store", log, "--workers", workers, VAE_LOG_FORMAT="json") as server:
        answer = httpx.post(f"{server.url}/generate", json={"z": [0, 0]}, headers={"x-request-id": "mine"})
        assert (answer.status_code, answer.headers["x-request-id"]) == (200, "mine")
        assert server.stop() == 0
    lines = [json.loads(line) for line in log.read_text().splitlines() if not NATIVE.match(line)]
    assert {"app.loading", "uvicorn.error", "app.access_log"} <= {line["logger"] for line in lines}
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
