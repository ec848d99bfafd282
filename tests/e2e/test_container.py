"""The image and the compose file as they are: built, run, confined, trained in, stopped and killed."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from PIL import Image

from app.settings import Settings

pytestmark = [pytest.mark.container, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
COMPOSE_FILE = ROOT / "docker-compose.yml"
BASE = "python:3.11-slim-bookworm"
IMAGE = "digit-vae:test"

BUILD_S = 1800
START_S = 180
PROFILES = ("--profile", "cpu", "--profile", "cpu-trainer")

# Run inside the container, hence in plain Python.
LOOK_AROUND = """
import json, os
from pathlib import Path

def writable(folder):
    try:
        (Path(folder) / "probe").write_text("x")
    except OSError:
        return False
    (Path(folder) / "probe").unlink()
    return True

def status(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\\t", 1) for line in lines if ":\\t" in line)

folders = ["/", "/srv", "/srv/app", "/srv/model_store", "/srv/model_store/manifests", "/opt/venv", "/tmp"]
print(json.dumps({
    "processes": [status(pid) for pid in os.listdir("/proc") if pid.isdigit()],
    "writable": [folder for folder in folders if writable(folder)],
    "read_only": [folder for folder in folders if os.statvfs(folder).f_flag & os.ST_RDONLY],
}))
"""
KILL_SERVER = """
import os, signal
from pathlib import Path
for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
    arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\\0")
    if b"python" in arguments[0] and b"app.serve" in arguments:
        os.kill(pid, signal.SIGKILL)
        break
else:
    raise SystemExit("no server process")
"""


def run(*command: str, timeout: float = 60, env: dict[str, str] | None = None) -> str:
    """What a command prints; fails the test with the end of it if the command fails."""
    done = subprocess.run(
        command,
        timeout=timeout,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.fail(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout[-3000:]}")
    return done.stdout


def works(*command: str, timeout: float = 60) -> bool:
    try:
        return not subprocess.run(
            command, timeout=timeout, stdin=subprocess.DEVNULL, capture_output=True, check=False
        ).returncode
    except (OSError, subprocess.TimeoutExpired):
        return False


@dataclass(frozen=True)
class Project:
    """The compose file under a name and at a port of its own."""

    command: tuple[str, ...]
    name: str
    port: int
    data: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def compose(self, *arguments: str, timeout: float = 120) -> str:
        env = {name: value for name, value in os.environ.items() if not name.startswith("COMPOSE_")}
        env |= {"VAE_IMAGE": IMAGE, "VAE_PORT": f"127.0.0.1:{self.port}", "VAE_DATA": str(self.data)}
        where = ("--file", str(COMPOSE_FILE), "--project-name", self.name)
        return run(*self.command, *where, *arguments, timeout=timeout, env=env)

    def labelled(self, *filters: str) -> list[str]:
        label = f"label=com.docker.compose.project={self.name}"
        return run("docker", "ps", "--all", "--quiet", "--filter", label, *filters).split()

    @property
    def server(self) -> str:
        (container,) = self.labelled("--filter", "label=com.docker.compose.service=cpu")
        return container

    def state(self) -> dict[str, Any]:
        return dict(json.loads(run("docker", "inspect", self.server))[0])

    def python(self, program: str) -> str:
        return run("docker", "exec", self.server, "python", "-c", program)

    def wait_until_healthy(self, restarts: int = 0) -> None:
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            found = self.state()
            if found["RestartCount"] >= restarts and found["State"].get("Health", {}).get("Status") == "healthy":
                return
            if found["State"]["Status"] == "exited":
                break
            time.sleep(1)
        pytest.fail(f"not healthy: {found['State']}\n{run('docker', 'logs', '--tail', '50', self.server)}")

    def remove(self) -> None:
        try:
            self.compose(*PROFILES, "down", "--volumes", "--remove-orphans", "--timeout", "5")
        finally:
            if left := self.labelled():
                run("docker", "rm", "--force", "--volumes", *left)


@pytest.fixture(scope="module")
def compose_command() -> tuple[str, ...]:
    if not works("docker", "info"):
        pytest.skip("no Docker engine answers: see scripts/engine")
    for command in (("docker", "compose"), ("docker-compose",)):
        if works(*command, "version"):
            return command
    pytest.skip("neither `docker compose` nor `docker-compose` is installed")


@pytest.fixture(scope="module")
def image(compose_command: tuple[str, ...]) -> str:
    """The image for hosts without a GPU, built from this checkout."""
    if not works("docker", "image", "inspect", BASE) and not works("docker", "pull", BASE, timeout=120):
        pytest.skip(f"{BASE} is not here and cannot be pulled: see scripts/engine")
    arguments = ("--network", "host", "--build-arg", "VARIANT=cpu", "--tag", IMAGE)
    run("docker", "build", *arguments, str(ROOT), timeout=BUILD_S)
    return IMAGE


@pytest.fixture(scope="module")
def project(
    image: str, compose_command: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    project = Project(compose_command, f"digit-vae-test-{uuid.uuid4().hex[:8]}", port, tmp_path_factory.mktemp("data"))
    try:
        yield project
    finally:
        project.remove()


@pytest.fixture
def service(project: Project) -> Project:
    """The `cpu` service, up and healthy, whatever the test before did to it."""
    project.compose("up", "--detach", "--no-build", "cpu")
    project.wait_until_healthy()
    return project


def test_every_setting_can_be_handed_to_the_servers_but_those_that_the_file_fixes():
    services = yaml.safe_load(COMPOSE_FILE.read_text())["services"]
    fixed = {"VAE_MODEL_STORE", "VAE_SHUTDOWN_GRACE_S"}
    for name in ("gpu", "cpu"):
        handed = [each for each in services[name]["environment"] if not each.startswith("OTEL_")]
        assert {*handed, *fixed} == {f"VAE_{field.upper()}" for field in Settings.model_fields}


def test_the_service_encodes_and_generates(service: Project):
    with httpx.Client(base_url=service.url, timeout=30) as client:
        assert client.get("/readyz").status_code == 200
        generated = client.post("/generate", json={"z": [0, 0]})
        assert generated.status_code == 200
        assert generated.headers["content-type"] == "image/png"
        with Image.open(io.BytesIO(generated.content), formats=["PNG"]) as picture:
            assert picture.size == (28, 28)
        encoded = client.post("/encode", content=generated.content, headers={"content-type": "image/png"})
        assert encoded.status_code == 200
        (z_mean,) = encoded.json()["z_mean"]
        assert len(z_mean) == 2


def test_the_explorer_and_the_command_are_in_the_image(service: Project):
    with httpx.Client(base_url=service.url, timeout=30) as client:
        for path, kind in (("/", "text/html"), ("/explorer/explorer.js", "text/javascript")):
            answer = client.get(path)
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith(kind)
        assert client.get("/explorer/points.json").json()["z_mean"]
    assert "as published" in run("docker", "exec", service.server, "digit-vae", "models", "verify")
    shown = run("docker", "exec", service.server, "digit-vae", "models", "show", "--url", "http://127.0.0.1:8000")
    assert json.loads(shown) == httpx.get(f"{service.url}/model").json()


def test_only_the_cpu_service_was_started(service: Project):
    assert service.labelled() == [service.server]


def test_no_process_has_root_or_a_capability_and_only_tmp_can_be_written(service: Project):
    found = json.loads(service.python(LOOK_AROUND))
    assert found["writable"] == ["/tmp"]
    # Not by the files' modes alone, which a process that becomes root would not heed.
    assert {"/", "/srv", "/srv/model_store"} <= set(found["read_only"])
    assert len(found["processes"]) >= 2  # init and the server
    for process in found["processes"]:
        assert "0" not in process["Uid"].split() + process["Gid"].split()
        assert {int(process[kind], 16) for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
        assert process["NoNewPrivs"] == "1"


def test_memory_processes_and_the_time_to_stop_are_limited(service: Project):
    found = service.state()
    assert 0 < found["HostConfig"]["Memory"] == found["HostConfig"]["MemorySwap"]
    assert found["HostConfig"]["PidsLimit"] > 0
    assert found["Config"]["StopTimeout"] > Settings.model_fields["shutdown_grace_s"].default


def test_a_version_trained_into_the_volume_is_served_after_a_restart(service: Project):
    before = httpx.get(f"{service.url}/model").json()["version"]
    small = ("--data", "mnist-5k", "--epochs", "1", "--limit", "1000")
    said = service.compose("run", "--rm", "-T", "cpu-trainer", *small, timeout=600)
    assert f"published version {before + 1} " in said
    service.compose("restart", "cpu")
    service.wait_until_healthy()
    assert httpx.get(f"{service.url}/model").json()["version"] == before + 1


def test_a_stop_answers_the_request_that_is_under_way(service: Project):
    rest_may_come = threading.Event()

    def body() -> Iterator[bytes]:
        yield b'{"z": '
        assert rest_may_come.wait(20)
        yield b"[0, 0]}"

    headers = {"content-type": "application/json"}
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(httpx.post, f"{service.url}/generate", content=body(), headers=headers, timeout=30)
        time.sleep(1)  # for the service to read the first half
        started = time.monotonic()
        with subprocess.Popen(["docker", "stop", service.server], stdout=subprocess.DEVNULL) as stop:
            wait_until_no_connection_is_accepted(service.url)
            rest_may_come.set()
            assert answer.result(30).status_code == 200
            assert stop.wait(60) == 0
    assert time.monotonic() - started < service.state()["Config"]["StopTimeout"]
    assert service.state()["State"]["ExitCode"] == 0  # 137 would be a kill


def wait_until_no_connection_is_accepted(url: str) -> None:
    until = time.monotonic() + 15
    while time.monotonic() < until:
        try:
            if httpx.get(f"{url}/livez", timeout=2).status_code != 200:
                return
        except httpx.TransportError:
            return
        time.sleep(0.1)
    pytest.fail("the service goes on accepting connections after the stop")


def test_a_killed_server_comes_back(service: Project):
    before = service.state()["RestartCount"]
    # Detached: what is executed in the container ends with it, and may not live to see its own success.
    run("docker", "exec", "--detach", service.server, "python", "-c", KILL_SERVER)
    service.wait_until_healthy(restarts=before + 1)
    assert httpx.get(f"{service.url}/readyz").status_code == 200


def test_the_image_holds_no_more_than_it_needs(image: str):
    listed = run("docker", "run", "--rm", "--network", "none", "--entrypoint", "ls", image, "-A", "/srv").split()
    assert sorted(listed) == ["LICENSE", "README.md", "app", "cli", "model_store", "pyproject.toml", "training"]
