import csv
import io
import json
from pathlib import Path

import httpx
import pytest

from app.api.formats import npy
from app.client import Client
from tests.support.pictures import file_of, on_paper


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


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


def test_a_form_that_is_not_known_is_a_usage_error(run, digits, capsys):
    with pytest.raises(SystemExit) as left:
        run("encode", "digits", "-o", "z.xls")
    assert left.value.code == 2
    assert ".parquet" in capsys.readouterr().err
