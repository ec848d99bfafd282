"""What the container tests share: the image, and the compose file under a name and at a port of its own."""

import json
import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT
from tests.support.server import free_port

COMPOSE_FILE = ROOT / "docker-compose.yml"
BASE = "python:3.11-slim-bookworm"
IMAGE = "digit-vae:test"
PROXY = "haproxy:3.2"
PROXY_STAND_IN = "digit-vae-proxy:test"

BUILD_S = 1800
START_S = 180
PROFILES = ("cpu", "cpu-trainer", "proxied-cpu", "proxy")

# The proxy as its official image has it, out of Debian's package: for hosts that reach no image registry.
STAND_IN = f"""
FROM {BASE}
RUN apt-get update && apt-get install --yes --no-install-recommends haproxy && rm -rf /var/lib/apt/lists/*
"""


def run(*command: str, timeout: float = 60, env: dict[str, str] | None = None, given: str = "") -> str:
    """What a command prints; fails the test with the end of it if the command fails."""
    done = subprocess.run(
        command,
        timeout=timeout,
        env=env,
        input=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.fail(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout[-3000:]}")
    return done.stdout


def works(*command: str, timeout: float = 60) -> bool:
    """Whether a command can be run, and succeeds."""
    try:
        return not subprocess.run(
            command, timeout=timeout, stdin=subprocess.DEVNULL, capture_output=True, check=False
        ).returncode
    except (OSError, subprocess.TimeoutExpired):
        return False


def built(tag: str, dockerfile: str) -> str:
    """An image from a Dockerfile that copies nothing."""
    run("docker", "build", "--network", "host", "--tag", tag, "-", timeout=BUILD_S, given=dockerfile)
    return tag


def inspected(container: str) -> dict[str, Any]:
    """What the engine knows of a container."""
    return dict(json.loads(run("docker", "inspect", container))[0])


@dataclass(frozen=True)
class Project:
    """The compose file, one of its services in the middle of it.

    Attributes:
        command: that runs compose.
        name: the project's.
        port: on the loopback, of the server or the proxy before it.
        data: the folder that trainers see.
        service: the server's name.
        image: the servers' image.
        proxy_image: the proxy's.
        settings: of the service.
    """

    command: tuple[str, ...]
    name: str
    port: int
    data: Path
    service: str = "cpu"
    image: str = IMAGE
    proxy_image: str = PROXY_STAND_IN
    settings: tuple[tuple[str, str], ...] = ()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What compose, and scripts that run compose, are to see."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("COMPOSE_")},
            "COMPOSE_PROJECT_NAME": self.name,
            "VAE_IMAGE": self.image,
            "VAE_PROXY_IMAGE": self.proxy_image,
            "VAE_PORT": f"127.0.0.1:{self.port}",
            "VAE_DATA": str(self.data),
            **dict(self.settings),
        }

    def compose(self, *arguments: str, timeout: float = 120) -> str:
        return run(*self.command, "--file", str(COMPOSE_FILE), *arguments, timeout=timeout, env=self.environment)

    def labelled(self, *filters: str) -> list[str]:
        label = f"label=com.docker.compose.project={self.name}"
        return run("docker", "ps", "--all", "--quiet", "--no-trunc", "--filter", label, *filters).split()

    def containers(self, service: str) -> list[str]:
        return self.labelled("--filter", f"label=com.docker.compose.service={service}")

    @property
    def server(self) -> str:
        (container,) = self.containers(self.service)
        return container

    @property
    def proxy(self) -> str:
        (container,) = self.containers("proxy")
        return container

    def state(self) -> dict[str, Any]:
        return inspected(self.server)

    def python(self, program: str) -> str:
        return run("docker", "exec", self.server, "python", "-c", program)

    def up(self) -> None:
        """Start the server, and the proxy where it stands before it, and wait for them."""
        self.compose("up", "--detach", "--no-build", self.service, *self._proxies)
        self.wait_until_all_healthy()

    def wait_until_all_healthy(self) -> None:
        self.wait_until_healthy()
        for proxy in self._proxies:
            self.wait_until_healthy(*self.containers(proxy))

    @property
    def _proxies(self) -> tuple[str, ...]:
        return ("proxy",) if self.service.startswith("proxied") else ()

    def wait_until_healthy(self, container: str = "", restarts: int = 0) -> None:
        container = container or self.server
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            found = inspected(container)
            if found["RestartCount"] >= restarts and found["State"].get("Health", {}).get("Status") == "healthy":
                return
            if found["State"]["Status"] == "exited":
                break
            time.sleep(1)
        pytest.fail(f"not healthy: {found['State']}\n{run('docker', 'logs', '--tail', '50', container)}")

    def remove(self) -> None:
        try:
            profiles = [argument for profile in PROFILES for argument in ("--profile", profile)]
            self.compose(*profiles, "down", "--volumes", "--remove-orphans", "--timeout", "5")
        finally:
            if left := self.labelled():
                run("docker", "rm", "--force", "--volumes", *left)


@contextmanager
def begun(command: tuple[str, ...], data: Path, **more: Any) -> Iterator[Project]:
    """The compose file under a name of its own, nothing started; nothing of it is left at the end."""
    project = Project(command, f"digit-vae-test-{uuid.uuid4().hex[:8]}", free_port(), data, **more)
    try:
        yield project
    finally:
        project.remove()
