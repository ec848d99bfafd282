"""The image and the compose file as they are: built, run, confined, trained in, stopped and killed."""

import io
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import yaml
from PIL import Image

from app.settings import Settings
from tests.containers.project import COMPOSE_FILE, Project, begun, run

pytestmark = [pytest.mark.container, pytest.mark.slow]

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
# As the kernel has them, in either layout of control groups.
LIMITS = """
import json
from pathlib import Path

def limit(*names):
    paths = [Path("/sys/fs/cgroup", name) for name in names]
    return int(next(path for path in paths if path.exists()).read_text())

print(json.dumps({
    "memory": limit("memory.max", "memory/memory.limit_in_bytes"),
    "pids": limit("pids.max", "pids/pids.max"),
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


@pytest.fixture(scope="module")
def project(
    image: str, compose_command: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    with begun(compose_command, tmp_path_factory.mktemp("data")) as project:
        yield project


def test_every_setting_can_be_handed_to_the_servers_but_those_that_the_file_fixes():
    services = yaml.safe_load(COMPOSE_FILE.read_text())["services"]
    fixed = {"VAE_MODEL_STORE", "VAE_SHUTDOWN_GRACE_S"}
    for name in ("gpu", "cpu", "proxied-gpu", "proxied-cpu"):
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
    limits = json.loads(service.python(LIMITS))
    assert limits == {"memory": found["HostConfig"]["Memory"], "pids": found["HostConfig"]["PidsLimit"]}


@pytest.mark.long
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


def test_a_container_that_is_killed_from_outside_comes_back(service: Project):
    found = service.state()
    try:
        os.kill(found["State"]["Pid"], signal.SIGKILL)
    except PermissionError:
        pytest.skip("only root may kill what runs in a container")
    service.wait_until_healthy(restarts=found["RestartCount"] + 1)
    assert httpx.get(f"{service.url}/readyz").status_code == 200


def test_the_image_holds_no_more_than_it_needs(image: str):
    listed = run("docker", "run", "--rm", "--network", "none", "--entrypoint", "ls", image, "-A", "/srv").split()
    assert sorted(listed) == ["LICENSE", "README.md", "app", "model_store", "pyproject.toml", "training"]
