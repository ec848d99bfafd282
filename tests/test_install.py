"""scripts/lib.sh, with stubs for Python and pip: which Python and TensorFlow, and when an environment is made anew."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.paths import ROOT

# Answers that it is new enough, makes environments that hold a copy of itself, and notes what pip is asked for.
PYTHON = """#!/usr/bin/env bash
case "$1 $2" in
  "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  "-m pip") shift 2; echo "$*" >>pip.log; mkdir -p .venv/lib/python3.12/site-packages/tensorflow/{include,python} ;;
  "--version ") echo "Python of ${0##*/}" ;;
esac
"""


class Clone:
    """A folder with the scripts, empty locks, and stubs first on PATH."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.programs = root / "programs"
        for folder in (self.programs, root / "scripts", root / "requirements"):
            folder.mkdir(parents=True)
        shutil.copy(ROOT / "scripts" / "lib.sh", root / "scripts")
        (root / "pyproject.toml").touch()
        for name in ("serve", "train", "dev"):
            for kind in ("cpu", "gpu"):
                (root / "requirements" / f"{name}-{kind}.txt").touch()
        for version in ("3.11", "3.12", "3.13"):
            self.program(f"python{version}", PYTHON)
        self.has_gpu(False)

    def program(self, name: str, text: str) -> None:
        path = self.programs / name
        path.write_text(text)
        path.chmod(0o755)

    def has_gpu(self, there: bool) -> None:
        self.program("nvidia-smi", f"#!/bin/sh\nexit {0 if there else 9}\n")

    def install(self, name: str, **environment: str) -> subprocess.CompletedProcess[str]:
        (self.root / "pip.log").unlink(missing_ok=True)
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"source scripts/lib.sh; install {name}"],
            cwd=self.root,
            env={"PATH": f"{self.programs}:{os.environ['PATH']}", "HOME": str(self.root), **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @property
    def asked(self) -> str:
        """What pip was asked for last."""
        log = self.root / "pip.log"
        return log.read_text() if log.exists() else ""


@pytest.fixture
def clone(tmp_path):
    return Clone(tmp_path / "clone")


def test_an_environment_is_made_once_and_nothing_is_resolved(clone):
    first = clone.install("serve")
    assert first.returncode == 0, first.stderr
    assert "Python of python3.12" in first.stderr
    assert "requirements/serve-cpu.txt" in first.stderr
    locked, project = clone.asked.splitlines()
    assert "--no-deps --require-hashes -r requirements/serve-cpu.txt" in locked
    assert "--no-deps --no-build-isolation --editable ." in project
    packages = clone.root / ".venv" / "lib" / "python3.12" / "site-packages"
    assert [path.name for path in (packages / "tensorflow").iterdir()] == ["python"]  # without its C++ headers
    again = clone.install("serve")
    assert (again.returncode, again.stderr, clone.asked) == (0, "", "")


@pytest.mark.parametrize(("installed", "contained"), [("train", ["serve"]), ("dev", ["train", "serve"])])
def test_a_larger_set_contains_the_smaller_ones(clone, installed, contained):
    clone.install(installed)
    for name in contained:
        assert clone.install(name).stderr == ""


def test_a_changed_lock_is_installed_into_the_same_environment(clone):
    clone.install("serve")
    (clone.root / ".venv" / "mark").touch()
    later = (clone.root / ".venv" / ".installed-serve").stat().st_mtime + 10
    os.utime(clone.root / "requirements" / "serve-cpu.txt", (later, later))
    assert clone.install("serve").returncode == 0
    assert "serve-cpu.txt" in clone.asked
    assert (clone.root / ".venv" / "mark").exists()


@pytest.mark.parametrize(("before", "after"), [(False, True), (True, False)])
def test_an_environment_of_the_other_kind_is_made_anew(clone, before, after):
    clone.has_gpu(before)
    clone.install("serve")
    (clone.root / ".venv" / "mark").touch()
    clone.has_gpu(after)
    changed = clone.install("serve")
    assert "making .venv anew" in changed.stderr
    assert f"serve-{'gpu' if after else 'cpu'}.txt" in clone.asked
    assert not (clone.root / ".venv" / "mark").exists()


def test_an_environment_of_an_earlier_release_is_made_anew(clone):
    clone.install("serve")
    (clone.root / ".venv" / ".kind").unlink()
    assert "making .venv anew" in clone.install("serve").stderr


def test_an_environment_that_somebody_else_made_is_installed_into(clone):
    subprocess.run([clone.programs / "python3.11", "-m", "venv", clone.root / ".venv"], check=True)
    (clone.root / ".venv" / "mark").touch()
    assert clone.install("serve").returncode == 0
    assert "serve-cpu.txt" in clone.asked
    assert (clone.root / ".venv" / "mark").exists()
    assert clone.install("serve").stderr == ""


def test_the_kind_and_the_python_may_be_named(clone):
    clone.program("mine", PYTHON)
    named = clone.install("train", VAE_KIND="gpu", PYTHON="mine")
    assert "Python of mine" in named.stderr
    assert "train-gpu.txt" in clone.asked


def test_a_kind_that_is_none_is_refused(clone):
    refused = clone.install("serve", VAE_KIND="tpu")
    assert refused.returncode == 1
    assert refused.stderr == "error: VAE_KIND is cpu or gpu, not 'tpu'\n"


def test_an_interrupted_installation_is_done_again(clone):
    clone.program("python3.12", PYTHON.replace("echo", "exit 1; echo", 1))
    assert clone.install("serve").returncode != 0
    (clone.root / ".venv" / "bin" / "python").write_text(PYTHON)
    assert clone.install("serve").returncode == 0
    assert "serve-cpu.txt" in clone.asked
