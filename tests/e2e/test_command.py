"""The shipped model through the route, the client and the command line: one picture, one z."""

import json
import subprocess
import sys

import httpx
import numpy as np
import pytest

from app.client import Client
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

SEVENS = [ROOT / "docs" / "images" / name for name in ("seven.png", "seven.jpg")]
STORE = ROOT / "model_store"


@pytest.fixture(scope="module")
def url(shipped):
    return shipped.url


def digit_vae(*arguments: object) -> bytes:
    """What a command prints; it must succeed."""
    command = [sys.executable, "-m", "app.cli", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, b"")  # nothing of TensorFlow's either
    return done.stdout


def test_route_client_and_command_give_the_same_z(url):
    files = [("image", (path.name, path.read_bytes())) for path in SEVENS]
    route = np.array(httpx.post(f"{url}/encode", files=files).json()["z_mean"])
    with Client(url) as client:
        assert np.abs(client.encode(SEVENS).z_mean - route).max() < 1e-6
        alone = np.concatenate([client.encode(path).z_mean for path in SEVENS])
    assert np.abs(alone - route).max() < 1e-4  # in a batch of another size the last bits may differ
    for where in (("--url", url), ("--store", STORE)):
        found = json.loads(digit_vae("encode", "--json", *SEVENS, *where))
        assert np.abs(np.array([each["z_mean"] for each in found["images"]]) - route).max() < 1e-6


def test_a_service_and_the_store_draw_the_same(url, tmp_path):
    for command in (["generate", "--sample", 5, "--seed", 1], ["manifold", "--n", 5]):
        pictures = [digit_vae(*command, *where) for where in (("--url", url), ("--store", STORE))]
        assert pictures[0] == pictures[1]
        assert pictures[0].startswith(b"\x89PNG")


def test_the_shipped_version_is_as_published():
    assert b"as published" in digit_vae("models", "verify", "--store", STORE)
