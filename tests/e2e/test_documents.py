"""The documents' commands and programs run as written, and give the pictures and numbers that are shown."""

from __future__ import annotations

import json
import re

import httpx
import numpy as np
import pytest

from app.images import decode, open_picture
from tests.documents import ROOT, Block, blocks, commands
from tests.e2e.checkout import Checkout, checked_out
from tests.unrun import runnable

pytestmark = pytest.mark.slow

IMAGES = ROOT / "docs" / "images"
SHELL = [block for block in blocks("sh") if runnable(block.text)]
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


def of_readme(words: str) -> list[Block]:
    """The README's blocks that have these words."""
    return [block for block in SHELL if block.document == "README.md" and words in block.text]


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


def test_the_readme_shows_curl_for_every_way_in():
    lines = [line for block in of_readme("curl") for line in commands(block.text)]
    assert len(lines) >= 8
    for words in ("-sF image=@seven.png", "--data-binary @seven.jpg", "/generate", "/manifold.png", "/model"):
        assert any(words in line for line in lines)


def test_the_answer_shown_is_the_answer_given(checkout):
    shown = next(json.loads(block.text) for block in blocks("json") if block.document == "README.md")
    (block,) = of_readme("image=@seven.png")
    given, _ = json.JSONDecoder().raw_decode(ran(checkout, block))
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
    written = {name: block for block in of_readme("curl") for name in re.findall(r"> (\S+\.png)", block.text)}
    assert set(written) == {"digit.png", "manifold.png", "latent.png", "samples.png", "pair.png"}
    for name, block in written.items():
        ran(checkout, block)  # again: later commands may have drawn another picture of that name
        ours, theirs = (decode(open_picture((root / name).read_bytes(), 10**7)) for root in (checkout.root, IMAGES))
        assert np.abs(ours - theirs).max() <= 1.01 / 255, name
        assert f"docs/images/{name}" in (ROOT / "README.md").read_text()
