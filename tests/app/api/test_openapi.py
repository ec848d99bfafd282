"""The OpenAPI document against the service: every status, content type and schema that it gives is in the document.

schemathesis makes requests of it, good and bad ones, by all its checks; see tests/schemathesis.toml.
"""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from app.main import create_app
from tests.support.live import bounded
from tests.support.paths import ROOT
from tests.support.server import serving


async def failures(url: str, examples: int, folder: Path) -> str:
    """What schemathesis finds wrong, in its words; nothing if all is well."""
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(ROOT / "tests" / "schemathesis.toml")]
    command += ["run", f"{url}/openapi.json", "--checks", "all", "-n", str(examples), "--seed", "1", "--no-color"]
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,  # where it keeps its notes
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.schemathesis_hooks", "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    told = output.decode()
    assert "Tested: 2" in told, told[-3000:]
    return told if process.returncode else ""


async def test_the_application_is_as_its_document_says(settings, tmp_path):
    async with bounded(settings, request_timeout_s=30) as live:
        assert not await failures(f"http://127.0.0.1:{live.port}", 8, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("examples", [10, pytest.param(60, marks=pytest.mark.long)])
async def test_the_service_is_as_its_document_says(tmp_path, examples):
    with serving(ROOT / "model_store", tmp_path / "server.log", "--workers", "1") as server:
        assert not await failures(server.url, examples, tmp_path)


def test_every_error_is_a_problem_or_as_the_protocols_have_it(settings):
    for path, verbs in create_app(settings).openapi()["paths"].items():
        for operation in verbs.values():
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    kind = "application/json" if path.startswith(("/v1", "/v2")) else "application/problem+json"
                    assert list(response["content"]) == [kind], (path, status)
            assert {"400", "408", "431", "503"} <= operation["responses"].keys()
