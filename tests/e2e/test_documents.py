"""The documents' commands and programs run as written, and give the pictures and numbers that are shown.

The README's are pasted by `.ci/paste`, in a fresh clone; of them only what it shows is compared here.
"""

import json
import re

import httpx
import numpy as np
import pytest

from app.imaging.decode import decode, open_picture
from tests.e2e.checkout import Checkout, checked_out
from tests.support.documents import Block, blocks, blocks_of, commands
from tests.support.paths import ROOT
from tests.support.unrun import runnable

pytestmark = pytest.mark.slow

IMAGES = ROOT / "docs" / "images"
README = ROOT / "README.md"
SHELL = [block for block in blocks("sh") if block.document != "README.md" and runnable(block.text)]
PYTHON = blocks("python")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    with checked_out(tmp_path_factory.mktemp("checkout")) as checkout:
        yield checkout


def ran(checkout: Checkout, block: Block) -> str:
    """What a block printed; it must succeed."""
    done = checkout.run(block.language, runnable(block.text) if block.language == "sh" else block.text)
    assert done.returncode == 0, f"{block}\n{block.text}\n{done.stdout}"
    return done.stdout


def of_readme(pattern: str) -> list[str]:
    """The README's commands in which a pattern is found."""
    shown = [line for block in blocks_of(README) if block.language == "sh" for line in commands(block.text)]
    return [line for line in shown if re.search(pattern, line)]


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_the_commands_run(checkout, block):
    ran(checkout, block)


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_the_programs_run(checkout, block):
    ran(checkout, block)


@pytest.mark.parametrize(
    "text", ["curl -s localhost:8000/nothing", "curl -s localhost:8000/nothing | cat", "false\ntrue"]
)
def test_a_command_that_fails_would_be_seen(checkout, text):
    assert checkout.run("sh", text).returncode != 0


def test_the_tour_takes_its_options(checkout):
    done = checkout.run("sh", "scripts/tour --help")
    assert done.returncode == 0, done.stdout
    assert "--output" in done.stdout


def test_the_answer_shown_is_the_answer_given(checkout):
    (shown,) = (json.loads(block.text) for block in blocks_of(README) if block.language == "json")
    (command,) = of_readme("/encode ")
    done = checkout.run("sh", command)
    assert done.returncode == 0, done.stdout
    given = json.loads(done.stdout)
    assert given["model_version"] == shown["model_version"]
    assert given["z_mean"][0] == pytest.approx(shown["z_mean"][0], abs=1e-4)
    assert given["z_log_var"][0] == pytest.approx(shown["z_log_var"][0], abs=1e-3)


def test_the_error_shown_is_the_error_given(checkout):
    shown = next(json.loads(block.text) for block in blocks("json") if block.document == "docs/api.md")
    named = {"x-request-id": shown["request_id"]}
    given = httpx.post(f"{checkout.url}/generate", json={"z": [0, 0, 0]}, headers=named)
    assert given.status_code == shown["status"]
    assert given.json() == shown


def test_the_pictures_shown_are_todays(checkout):
    written = {re.findall(r"-o out/(\S+)", command)[0]: command for command in of_readme(r"-o out/\S+\.png")}
    assert set(written) == {"digit.png", "manifold.png", "latent.png", "samples.png", "pair.png"}
    (checkout.root / "out").mkdir()
    for name, command in written.items():
        done = checkout.run("sh", command)
        assert done.returncode == 0, done.stdout
        given, shown = ((root / name).read_bytes() for root in (checkout.root / "out", IMAGES))
        ours, theirs = (decode(open_picture(png, 10**7)) for png in (given, shown))
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs).max() <= 1.01 / 255, name
        assert f"docs/images/{name}" in README.read_text()
