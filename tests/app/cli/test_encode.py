from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest

from app.api.formats import npy
from app.cli import tables
from app.cli.__main__ import main
from app.client import Client
from tests.support.fake_store import publish_fake
from tests.support.fakes import FakeEngine
from tests.support.pictures import file_of, on_paper


def standard_input(monkeypatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture
def digits(digit) -> dict[str, np.ndarray]:
    """A digit of each of three sub-folders, and what must not be taken."""
    found = {"7/a.png": digit, "7/b.png": digit.T.copy(), "1/deep/c.PNG": digit[::-1].copy(), "top.png": digit // 2}
    for name, levels in found.items():
        path = Path("digits") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file_of(levels))
    (Path("digits") / "notes.txt").write_text("no picture")
    (Path("digits") / ".hidden.png").write_text("no picture")
    return found


@pytest.fixture
def digits_of_two(digit, tmp_path) -> Path:
    folder = tmp_path / "two"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(file_of(digit))
    return folder


def test_the_route_the_client_and_the_command_agree(run, url, digit, capsys):
    Path("seven.jpg").write_bytes(file_of(on_paper(digit), "JPEG"))
    body = Path("seven.jpg").read_bytes()
    route = httpx.post(f"{url}/encode", content=body, headers={"content-type": "image/jpeg"}).json()["z_mean"][0]
    with Client(url) as client:
        library = client.encode("seven.jpg").z_mean[0]
    assert run("encode", "seven.jpg") == 0
    (row,) = rows(capsys.readouterr().out)
    assert library == pytest.approx(route, abs=1e-6)
    assert [float(row["z0"]), float(row["z1"])] == pytest.approx(route, abs=1e-6)
    assert (row["file"], row["label"]) == ("seven.jpg", "")


def test_a_folder_is_walked_and_its_sub_folders_are_labels(run, digits, capsys):
    assert run("encode", "digits", "--invert", "false") == 0
    out, err = capsys.readouterr()
    found = {row["file"]: row for row in rows(out)}
    assert list(found) == sorted(f"digits/{name}" for name in digits)
    assert [row["label"] for row in found.values()] == ["1/deep", "7", "7", ""]
    for name, levels in digits.items():
        assert float(found[f"digits/{name}"]["z0"]) == pytest.approx(levels[:, :14].mean() / 255, abs=1e-6)
    assert err == ""  # progress is for terminals


def test_json_has_the_whole_posterior(run, digits, capsys):
    assert run("encode", "--json", "digits/top.png", "digits/7") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["model_version"] == 1
    assert [each["file"] for each in found["images"]] == ["digits/top.png", "digits/7/a.png", "digits/7/b.png"]
    assert found["images"][0]["z_log_var"] == [-1, -1]


@pytest.mark.parametrize("name", ["z.csv", "z.json", "z.npy"])
def test_the_ending_of_the_output_chooses_the_form(run, digits, name, capsys):
    Path(name).write_text("what stood there before")
    assert run("encode", "digits", "-o", name) == 0
    assert capsys.readouterr().out == ""
    data = Path(name).read_bytes()
    if name == "z.npy":
        assert npy.loads(data).shape == (4, 2)
    elif name == "z.json":
        assert len(json.loads(data)["images"]) == 4
    else:
        assert len(rows(data.decode())) == 4
    assert {path.name for path in Path.cwd().iterdir()} == {"digits", name}


def test_an_option_is_stronger_than_the_ending(run, digits):
    assert run("encode", "digits", "--csv", "-o", "z.txt") == 0
    assert Path("z.txt").read_text().startswith("file,label,z0,z1\n")


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


def test_parquet_has_the_columns_of_the_table(run, digits):
    parquet = pytest.importorskip("pyarrow.parquet")
    assert run("encode", "digits", "-o", "z.parquet") == 0
    table = parquet.read_table("z.parquet")
    assert table.column_names == ["file", "label", "z0", "z1"]
    assert table.num_rows == 4


def test_parquet_without_pyarrow_is_one_line_before_any_work(run, digits, monkeypatch, capsys):
    monkeypatch.setattr(tables, "find_spec", lambda name: None)
    assert run("encode", "digits", "-o", "z.parquet") == 1
    assert capsys.readouterr().err == (
        "error: Parquet needs pyarrow: pip install pyarrow, or write .csv, .json or .npy.\n"
    )


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


def test_a_form_that_is_not_known_is_a_usage_error(run, digits, capsys):
    with pytest.raises(SystemExit) as left:
        run("encode", "digits", "-o", "z.xls")
    assert left.value.code == 2
    assert ".parquet" in capsys.readouterr().err


def test_bytes_do_not_go_to_a_terminal(run, digits, monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    with pytest.raises(SystemExit) as left:
        run("encode", "digits", "--npy")
    assert left.value.code == 2


def test_a_service_that_is_not_there_is_one_line(digit, tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(file_of(digit))
    assert main(["encode", str(tmp_path / "a.png"), "--url", "http://127.0.0.1:9"]) == 1
    assert "http://127.0.0.1:9 cannot be reached" in capsys.readouterr().err


def test_the_address_may_come_from_the_environment(url, digit, tmp_path, monkeypatch, capsys):
    (tmp_path / "a.png").write_bytes(file_of(digit))
    monkeypatch.setenv("VAE_URL", url)
    assert main(["encode", str(tmp_path / "a.png")]) == 0
    assert len(rows(capsys.readouterr().out)) == 1
    monkeypatch.setenv("VAE_URL", "nonsense")
    assert main(["encode", str(tmp_path / "a.png")]) == 1
    assert "http://HOST:PORT" in capsys.readouterr().err


def test_a_version_goes_with_a_store(url, shared, digit, tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(file_of(digit))
    for wrong in (["--url", url, "--version", "1"], ["--store", str(shared), "--version", "0"]):
        with pytest.raises(SystemExit) as left:
            main(["encode", str(tmp_path / "a.png"), *wrong])
        assert left.value.code == 2
        assert "--version" in capsys.readouterr().err
    assert main(["encode", str(tmp_path / "a.png"), "--store", str(shared), "--version", "9"]) == 1
    assert "Version 9 is not in" in capsys.readouterr().err
    assert main(["encode", str(tmp_path / "a.png"), "--store", str(tmp_path)]) == 1
    assert "No version is published" in capsys.readouterr().err


def test_the_store_is_used_in_the_version_that_is_pinned(store, digit, tmp_path, monkeypatch):
    publish_fake(store)
    (tmp_path / "a.png").write_bytes(file_of(digit))
    opened = []
    for arguments in ([], ["--version", "2"]):
        monkeypatch.setenv("VAE_MODEL_VERSION", "1")
        command = ["encode", str(tmp_path / "a.png"), "--store", str(store), *arguments]
        assert main(command, lambda stored, settings: opened.append(stored.version) or FakeEngine()) == 0
    assert opened == [1, 2]
