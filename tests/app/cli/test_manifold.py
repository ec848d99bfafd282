from pathlib import Path

import httpx
import pytest


def test_the_manifold_is_the_routes(run, url, capsysbinary):
    theirs = httpx.get(f"{url}/manifold.png?n=4&scale=2&low=0.1&high=0.9&dims=1,0").content
    options = ["--n", "4", "--scale", "2", "--low", "0.1", "--high", "0.9", "--dims", "1,0"]
    assert run("manifold", "-o", "m.png", *options) == 0
    assert Path("m.png").read_bytes() == theirs
    assert run("manifold", *options) == 0
    assert capsysbinary.readouterr().out == theirs


def test_a_manifold_that_cannot_be_drawn_is_one_line(run, capsys):
    assert run("manifold", "--n", "1000", "-o", "m.png") == 1
    assert "at most 64" in capsys.readouterr().err
    with pytest.raises(SystemExit) as left:
        run("manifold", "--dims", "x")
    assert left.value.code == 2
