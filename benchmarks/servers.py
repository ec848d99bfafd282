"""Who is measured, and how each is started."""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from app.imaging.decode import decode_grey, open_picture
from tests.support.paths import DIGIT, ROOT
from tests.support.server import free_port

PEERS = ROOT / "benchmarks" / "peers"
ENVIRONMENTS = ROOT / ".bench"
START_S = 120

Z = '{"z": [0.5, -0.5]}'


@dataclass(frozen=True)
class Contender:
    """One server in one configuration.

    `command` may hold {port}, {route} and {python}; `bodies` is what it takes for each route, with its content type.
    """

    name: str
    command: tuple[str, ...]
    package: str = ""  # the peer whose environment it runs in; "" for this project's own
    environment: dict[str, str] = field(default_factory=dict)
    bodies: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    one_route: bool = False  # serves one route per start

    def body(self, route: str) -> tuple[str, bytes]:
        """Content type and body for a route."""
        usual = {"generate": ("application/json", Z.encode()), "encode": ("image/png", DIGIT)}
        return self.bodies.get(route, usual[route])


def _script(name: str) -> tuple[str, ...]:
    return ("{python}", f"{name}_server.py", "{port}", "{route}")


def _json(**fields: object) -> tuple[str, bytes]:
    return "application/json", json.dumps(fields).encode()


def _pixels() -> list[list[int]]:
    levels = decode_grey(open_picture(DIGIT, 784))
    assert levels is not None
    return [[int(level) for level in row] for row in levels]


def _mosec(workers: int) -> Contender:
    command = ("{python}", "mosec_server.py", "--port", "{port}", "--timeout", "30000")
    return Contender(
        f"mosec, {workers} worker{'s' * (workers > 1)}", command, "mosec", {"WORKERS": str(workers)}, one_route=True
    )


OURS = ("{python}", "-m", "app.serve", "--port", "{port}", "--workers")
FLOOR = Contender("bare Starlette route", _script("bare"), "bare")
ONE = Contender("digit-vae, 1 worker", (*OURS, "1"))
TWO = Contender("digit-vae, 2 workers", (*OURS, "2"))
OTHERS = (
    Contender("FastAPI, 2 workers", _script("fastapi"), "fastapi"),
    Contender(
        "LitServe, 2 workers",
        _script("litserve"),
        "litserve",
        bodies={"encode": _json(image=base64.b64encode(DIGIT).decode())},
        one_route=True,
    ),
    Contender(
        "BentoML, 2 workers",
        ("{python}", "-m", "bentoml", "serve", "bentoml_server:Vae", "--port", "{port}"),
        "bentoml",
        bodies={"generate": _json(z=[[0.5, -0.5]]), "encode": _json(images=[_pixels()])},
    ),
    _mosec(1),
    _mosec(2),
)
ALL = (FLOOR, ONE, TWO, *OTHERS)


def python_of(package: str) -> str:
    """Return the interpreter of a peer's environment, made if it is missing; needs uv."""
    if not package:
        return sys.executable
    folder = ENVIRONMENTS / package
    python = folder / "bin" / "python"
    if not python.exists():
        uv = os.environ.get("UV", "uv")
        requires = tomllib.loads((PEERS / "peers.toml").read_text())[package]["requires"]
        wanted = [own_tensorflow() if each == "tensorflow" else each for each in requires]
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
        try:
            subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), *wanted], check=True)
        except subprocess.CalledProcessError:
            shutil.rmtree(folder)  # or the next run would take it for a whole one
            raise
    return str(python)


def own_tensorflow() -> str:
    """Return the requirement that gives a peer the TensorFlow of this environment."""
    try:
        return f"tensorflow-cpu=={version('tensorflow-cpu')}"
    except PackageNotFoundError:
        return f"tensorflow=={version('tensorflow')}"


@contextmanager
def running(contender: Contender, route: str, store: Path, **environment: str) -> Iterator[tuple[int, int]]:
    """Start the contender and yield its port and its process; stop its whole process group at the end."""
    port = free_port()
    values = {"port": str(port), "route": route, "python": python_of(contender.package)}
    process = subprocess.Popen(
        [part.format(**values) for part in contender.command],
        cwd=PEERS if contender.package else ROOT,
        env={**os.environ, "VAE_MODEL_STORE": str(store), "ROUTE": route, "TF_CPP_MIN_LOG_LEVEL": "3"}
        | contender.environment
        | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait(contender, route, port, process)
        yield port, process.pid
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(contender: Contender, route: str, port: int, process: subprocess.Popen[bytes]) -> None:
    kind, body = contender.body(route)
    request = urllib.request.Request(f"http://127.0.0.1:{port}/{route}", body, {"content-type": kind})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + START_S
    answered = 0
    while answered < 20:  # several, so that every worker has had one
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{contender.name} does not serve /{route}")
        try:
            opener.open(request, timeout=60).read()
            answered += 1
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
