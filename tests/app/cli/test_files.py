import io
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from app.api.formats import npy
from app.cli import files
from app.cli.errors import CommandError
from tests.app.cli.test_encode import rows
from tests.support.pictures import file_of


def standard_input(monkeypatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_pictures_and_arrays_come_through_a_pipe(run, digit, monkeypatch, capsysbinary):
    standard_input(monkeypatch, file_of(digit))
    assert run("encode", "--npy", "-") == 0
    from_picture = npy.loads(capsysbinary.readouterr().out)
    standard_input(monkeypatch, npy.dumps(np.stack([digit, digit])))
    assert run("encode", "--npy", "-") == 0
    assert npy.loads(capsysbinary.readouterr().out) == pytest.approx(np.repeat(from_picture, 2, 0), abs=1e-6)


def test_an_array_file_is_many_images(run, digit, capsys):
    np.save("digits.npy", np.stack([digit, digit]))
    assert run("encode", "digits.npy") == 0
    assert [row["file"] for row in rows(capsys.readouterr().out)] == ["digits.npy[0]", "digits.npy[1]"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.png"], "missing.png: no such file"),
        (["empty"], "empty: no picture lies"),
        (["bad.npy"], "bad.npy: not an npy file"),
        (["flat.npy"], "flat.npy: images have the shape"),
        (["digits", "-o", "nowhere/z.csv"], "nowhere/z.csv: No such file"),
    ],
)
def test_what_cannot_be_read_or_written_is_one_line(run, digits, arguments, words, capsys):
    Path("empty").mkdir()
    Path("bad.npy").write_text("no array")
    np.save("flat.npy", np.zeros(3))
    assert run("encode", *arguments) == 1
    shown = capsys.readouterr().err
    assert shown.startswith(f"error: {words}")
    assert len(shown.splitlines()) == 1


def test_bytes_do_not_go_to_a_terminal(run, digits, monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    with pytest.raises(SystemExit) as left:
        run("encode", "digits", "--npy")
    assert left.value.code == 2


@given(hnp.arrays(st.sampled_from([np.uint8, np.float32]), hnp.array_shapes(min_dims=0, max_dims=3, max_side=4)))
def test_an_array_is_read_back_as_it_was_written(array):
    again = files.loads("a.npy", files.npy(array))
    assert again.dtype == array.dtype
    assert np.array_equal(again, array, equal_nan=True)


def test_a_pickle_is_never_unpacked():
    out = io.BytesIO()
    np.save(out, np.array([{}], object), allow_pickle=True)
    with pytest.raises(CommandError, match="not an npy file of numbers"):
        files.loads("a.npy", out.getvalue())


def test_a_file_is_replaced_whole_and_keeps_its_mode_and_the_link_to_it(tmp_path):
    target, link = tmp_path / "kept" / "z.csv", tmp_path / "z.csv"
    target.parent.mkdir()
    target.write_bytes(b"old")
    target.chmod(0o640)
    link.symlink_to(target)
    files.write(str(link), b"new")
    assert (target.read_bytes(), target.stat().st_mode & 0o777, link.is_symlink()) == (b"new", 0o640, True)
    assert [path.name for path in target.parent.iterdir()] == ["z.csv"]


@pytest.mark.parametrize(("place", "step"), [(os, "fsync"), (Path, "chmod"), (Path, "replace")])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(place, step, tmp_path, monkeypatch):
    def full(*given):
        raise OSError(28, "No space left on device")

    (tmp_path / "z.csv").write_bytes(b"old")
    monkeypatch.setattr(place, step, full)
    with pytest.raises(CommandError, match="No space left"):
        files.write(str(tmp_path / "z.csv"), b"new")
    assert (tmp_path / "z.csv").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["z.csv"]
