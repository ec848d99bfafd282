"""The tour runs from top to bottom with a running service, finds what it says, and every cell of it is one."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.support.paths import ROOT

TOUR = ROOT / "docs" / "tour.py"


def cells() -> list[tuple[str, str]]:
    """The kind and the text of every cell, as notebooks read the percent format."""
    head, *found = re.split(r"^# %%(.*)$", TOUR.read_text(), flags=re.MULTILINE)
    assert head == ""
    return list(zip((kind.strip() for kind in found[::2]), found[1::2], strict=True))


def test_every_cell_is_one_of_a_notebook():
    assert {kind for kind, _ in cells()} == {"", "[markdown]"}
    for kind, text in cells():
        if kind:
            assert all(line.startswith("#") for line in text.split("\n") if line)
        else:
            compile(text, "cell", "exec")


@pytest.fixture(scope="module")
def toured(tmp_path_factory, shipped) -> tuple[Path, str]:
    """The folder that a tour filled, and what it printed."""
    folder = tmp_path_factory.mktemp("tour")
    command = [sys.executable, "-W", "error", str(TOUR), "--output", str(folder / "out")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "VAE_URL": shipped.url, "MPLBACKEND": "Agg"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder / "out", done.stdout


@pytest.mark.slow
def test_it_finds_what_it_tells_of(toured):
    folder, printed = toured
    found = json.loads((folder / "measures.json").read_text())
    assert found["model_version"] == 1
    assert found["manifold_difference"] <= 1
    assert 5 < found["kl"] < 11
    assert 100 < found["loss"] < 140
    assert found["anomaly_auc"] > 0.8
    assert found["knn_accuracy"] > 0.8 > found["logistic_accuracy"]
    assert f"10-NN on z gets {found['knn_accuracy']:.1%} right" in printed


@pytest.mark.slow
def test_it_leaves_pictures_and_a_table(toured):
    folder, _ = toured
    sizes = {path.name: size_of(path) for path in folder.glob("*.png")}
    assert set(sizes) == {"latent.png", "walk.png", "manifold.png", "anomalies.png"}
    assert sizes["manifold.png"] == (420, 420)
    assert sizes["walk.png"] == (25 * 28, 28)
    with (folder / "latents.csv").open() as file:
        table = list(csv.DictReader(file))
    assert len(table) == 5000
    assert list(table[0]) == ["label", "z0", "z1", "kl", "loss"]
    assert {row["label"] for row in table} == set("0123456789")


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size
