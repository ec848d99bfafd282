import io
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from app.api.formats import npy
from app.imaging.sheets import to_uint8
from tests.support.fakes import paint


def pixels(name: str) -> np.ndarray:
    return np.array(Image.open(name))


def digits(*z: tuple[float, float]) -> np.ndarray:
    return to_uint8(paint(np.array(z, np.float32)))


def test_a_point_is_a_digit(run):
    assert run("generate", "--z", "0,1", "-o", "digit.png") == 0
    assert np.array_equal(pixels("digit.png"), digits((0, 1))[0])


def test_points_may_begin_with_a_minus(run):
    assert run("generate", "--z", "-1,0", "--z", "-.5,-2", "--z=0,-1", "-o", "three.npy") == 0
    assert np.array_equal(np.load("three.npy"), digits((-1, 0), (-0.5, -2), (0, -1)))


def test_several_are_a_sheet_as_the_service_draws_it(run, url):
    assert run("generate", "--sample", "6", "--seed", "1", "--columns", "3", "--scale", "2", "-o", "s.png") == 0
    theirs = httpx.post(f"{url}/generate?columns=3&scale=2", json={"sample": 6, "seed": 1})
    assert np.array_equal(pixels("s.png"), np.array(Image.open(io.BytesIO(theirs.content))))


def test_points_come_through_a_pipe_and_the_sheet_leaves_through_one(run, monkeypatch, capsysbinary):
    z = np.array([[0, 0], [1, 2]], np.float32)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(npy.dumps(z))))
    assert run("generate", "--z", "-", "--columns", "1") == 0
    sheet = np.array(Image.open(io.BytesIO(capsysbinary.readouterr().out)))
    assert np.array_equal(sheet, digits((0, 0), (1, 2)).reshape(56, 28))


@pytest.mark.parametrize(
    "wrong",
    [
        ["--z", "a,b"],
        ["--z", "0,0", "--seed", "1"],
        ["--z", "0,0", "--sample", "1"],
        ["--z", "0,0", "--z", "0,0,0"],
        ["--z", "0,0", "--scale", "0"],
        ["--sample", "0"],
        ["--z", "0,0", "-o", "digit.gif"],
    ],
)
def test_what_makes_no_sense_is_a_usage_error(run, wrong, capsys):
    with pytest.raises(SystemExit) as left:
        run("generate", "-o", "digit.png", *wrong)
    assert left.value.code == 2
    assert not Path("digit.png").exists()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (["--z", "0,0,0"], "(n, 2)"),
        (["--z", "nan,0"], "finite"),
        (["--sample", "100000"], "at most 4096"),
        (["--z", "none.npy"], "none.npy: No such file"),
        (["--z", "cube.npy"], "cube.npy: latent vectors"),
        (["--z", "0,0", "--scale", "10000"], "smaller scale"),
    ],
)
def test_what_the_model_cannot_take_is_one_line(run, wrong, words, capsys):
    np.save("cube.npy", np.zeros((1, 1, 1)))
    assert run("generate", "-o", "digit.png", *wrong) == 1
    shown = capsys.readouterr().err
    assert words in shown
    assert len(shown.splitlines()) == 1
