from pathlib import Path

import numpy as np
import pytest

from app.cli.__main__ import main
from tests.app.cli.test_encode import rows
from tests.support.pictures import file_of


def test_a_file_that_is_no_picture_is_named(run, digits, capsys):
    (Path("digits") / "7" / "aa.png").write_text("no picture")
    assert run("encode", "digits", "-o", "z.csv") == 1
    shown = capsys.readouterr().err
    assert shown.startswith("error: digits/7/aa.png: The bytes are not a picture")
    assert len(shown.splitlines()) == 1
    assert not Path("z.csv").exists()


@pytest.mark.parametrize("beside", [["digits/top.png"], []])
def test_an_empty_file_is_named(run, digits, beside, capsys):
    Path("empty.png").touch()
    assert run("encode", *beside, "empty.png") == 1
    assert capsys.readouterr().err.startswith("error: empty.png: The body is empty")


def test_skip_leaves_out_what_cannot_be_read_and_says_so(run, digits, capsys):
    assert run("encode", "digits") == 0
    whole = capsys.readouterr().out
    (Path("digits") / "7" / "aa.png").write_text("no picture")
    (Path("digits") / "7" / "empty.png").touch()
    (Path("digits") / "gone.png").symlink_to(Path("digits") / "7")  # a folder is no picture
    (Path("digits") / "cut.png").write_bytes((Path("digits") / "top.png").read_bytes()[:60])
    assert run("encode", "digits", "--skip") == 0
    out, err = capsys.readouterr()
    assert out == whole
    left_out = [line.split(": ")[:2] for line in err.splitlines()]
    assert left_out == [["skipped", f"digits/{name}"] for name in ("7/aa.png", "7/empty.png", "cut.png")]


def test_skip_names_a_file_that_may_not_be_read_once(digits_of_two, monkeypatch, url, capsys):
    def forbidden(path, read=Path.read_bytes):
        if path.name == "b.png":
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", forbidden)
    assert main(["encode", str(digits_of_two), "--skip", "--url", url]) == 0
    out, err = capsys.readouterr()
    assert len(rows(out)) == 1
    assert err == f"skipped: {digits_of_two}/b.png cannot be read: Permission denied.\n"


def test_skip_fails_if_nothing_is_left(run, capsys):
    for name in ("a.png", "b.png"):
        Path(name).write_text("no picture")
    assert run("encode", "a.png", "b.png", "--skip", "-o", "z.csv") == 1
    assert capsys.readouterr().err.splitlines()[-1] == "error: none of 2 pictures can be read."
    assert not Path("z.csv").exists()


def test_skip_does_not_hide_a_fault_of_the_service(digits_of_two, capsys):
    assert main(["encode", str(digits_of_two), "--skip", "--url", "http://127.0.0.1:9"]) == 1
    assert "http://127.0.0.1:9 cannot be reached" in capsys.readouterr().err


@pytest.mark.parametrize("skip", [[], ["--skip"]])
def test_thousands_of_pictures_keep_their_order(run, digit, skip, capsys):
    levels = np.linspace(0, 255, 1500).astype(np.uint8)
    for i, level in enumerate(levels):
        path = Path("many") / str(i % 10) / f"{i:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file_of(np.full((28, 28), level)))
    assert run("encode", "many", "--invert", "false", *skip) == 0
    found = rows(capsys.readouterr().out)
    assert [row["file"] for row in found] == sorted(row["file"] for row in found)
    for row in found:
        number = int(Path(row["file"]).stem)
        assert row["label"] == str(number % 10)
        assert float(row["z0"]) == pytest.approx(levels[number] / 255, abs=1e-6)
