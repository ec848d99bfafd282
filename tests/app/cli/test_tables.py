import csv
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from app.cli import tables
from app.cli.files import Input
from app.client import Encoding


def test_json_has_the_whole_posterior(run, digits, capsys):
    assert run("encode", "--json", "digits/top.png", "digits/7") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["model_version"] == 1
    assert [each["file"] for each in found["images"]] == ["digits/top.png", "digits/7/a.png", "digits/7/b.png"]
    assert found["images"][0]["z_log_var"] == [-1, -1]


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


NUMBERS = st.floats(width=32, allow_nan=False, allow_infinity=False)
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), max_size=8)


@given(z=hnp.arrays(np.float32, (2, 3), elements=NUMBERS), names=st.lists(NAMES, min_size=2, max_size=2))
def test_a_table_reads_back_as_the_same_names_and_float32(z, names):
    inputs = [Input(name, name[:3], b"") for name in names]
    result = Encoding(z, -z, 7)
    header, *rows = csv.reader(io.StringIO(tables.as_csv(inputs, result).decode(), newline=""))
    assert header == ["file", "label", "z0", "z1", "z2"]
    assert [row[:2] for row in rows] == [[name, name[:3]] for name in names]
    assert np.array([row[2:] for row in rows], np.float32).tobytes() == z.tobytes()
    document = json.loads(tables.as_json(inputs, result))
    assert document["model_version"] == 7
    assert [each["file"] for each in document["images"]] == names
    assert np.array_equal(np.array([each["z_log_var"] for each in document["images"]], np.float32), -z)


def test_a_name_that_is_no_unicode_keeps_its_bytes():
    table = tables.as_csv(
        [Input("\udcff.png", "", b"")], Encoding(np.zeros((1, 1), np.float32), np.zeros((1, 1), np.float32), 1)
    )
    assert b"\xff.png,,0.0" in table
