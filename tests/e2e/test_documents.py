"""The README's commands run as written, and give the pictures and numbers that it shows."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from app.images import decode, open_picture
from tests.e2e.server import ROOT, serving

pytestmark = pytest.mark.slow

README = (ROOT / "README.md").read_text()
IMAGES = ROOT / "docs" / "images"


def commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("curl")]


@pytest.fixture(scope="module")
def answers(tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """A folder in which every curl line of the README was run, and what each printed."""
    folder = tmp_path_factory.mktemp("readme")
    for name in ("seven.png", "seven.jpg"):
        shutil.copy(IMAGES / name, folder)
    with serving(ROOT / "model_store", folder / "log") as server:
        address = server.url.removeprefix("http://")
        printed = {}
        for command in commands():
            line = command.replace("localhost:8000", address)
            done = subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, text=True, check=True)
            printed[command] = done.stdout
    return folder, printed


def test_the_readme_shows_curl_for_every_way_in(answers):
    _, printed = answers
    assert len(printed) >= 8
    for words in ("-sF image=@seven.png", "--data-binary @seven.jpg", "/generate", "/manifold.png", "/model"):
        assert any(words in command for command in printed)


def test_the_answer_shown_is_the_answer_given(answers):
    _, printed = answers
    shown = json.loads(re.findall(r"```json\n(.*?)```", README, re.DOTALL)[0])
    given = next(json.loads(text) for command, text in printed.items() if "seven.png" in command)
    assert given["model_version"] == shown["model_version"]
    assert given["z_mean"][0] == pytest.approx(shown["z_mean"][0], abs=1e-4)
    assert given["z_log_var"][0] == pytest.approx(shown["z_log_var"][0], abs=1e-3)


def test_the_pictures_shown_are_todays(answers):
    folder, _ = answers
    made = {path.name for path in folder.glob("*.png")} - {"seven.png"}
    assert made == {"digit.png", "manifold.png", "latent.png", "samples.png", "pair.png"}
    for name in made:
        ours, theirs = (decode(open_picture((root / name).read_bytes(), 10**7)) for root in (folder, IMAGES))
        assert np.abs(ours - theirs).max() <= 1.01 / 255, name
        assert f"docs/images/{name}" in README
