"""A table of encoded images, as bytes of a file: CSV, JSON, npy, Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from importlib.util import find_spec

from app.cli.errors import CommandError
from app.cli.files import Input, npy
from app.client import Encoding

BINARY = frozenset({"npy", "parquet"})


def check_available(form: str) -> None:
    """Refuse, before any work is done, a form whose package is not installed.

    Raises:
        CommandError: it is not.
    """
    if form == "parquet" and find_spec("pyarrow") is None:
        raise CommandError("Parquet needs pyarrow: pip install pyarrow, or write .csv, .json or .npy.")


def as_csv(inputs: list[Input], result: Encoding) -> bytes:
    """Write a header, then file, label and z_mean; each number reads back as the same float32."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["file", "label", *_coordinates(result)])
    for each, z in zip(inputs, result.z_mean.tolist(), strict=True):
        writer.writerow([each.name, each.label, *z])
    return out.getvalue().encode(errors="surrogateescape")


def as_json(inputs: list[Input], result: Encoding) -> bytes:
    """Write the version, and for every image file, label, z_mean and z_log_var."""
    rows = [
        {"file": each.name, "label": each.label, "z_mean": z_mean, "z_log_var": z_log_var}
        for each, z_mean, z_log_var in zip(inputs, result.z_mean.tolist(), result.z_log_var.tolist(), strict=True)
    ]
    return json.dumps({"model_version": result.model_version, "images": rows}, indent=2).encode() + b"\n"


def as_npy(inputs: list[Input], result: Encoding) -> bytes:
    """z_mean, float32 (n, d)."""
    return npy(result.z_mean)


def as_parquet(inputs: list[Input], result: Encoding) -> bytes:
    """Write the columns of the CSV; the coordinates are float32."""
    import pyarrow
    import pyarrow.parquet

    columns = {"file": [_text(each.name) for each in inputs], "label": [_text(each.label) for each in inputs]}
    columns |= dict(zip(_coordinates(result), result.z_mean.T, strict=True))
    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), out)
    return out.getvalue()


FORMS: dict[str, Callable[[list[Input], Encoding], bytes]] = {
    "csv": as_csv,
    "json": as_json,
    "npy": as_npy,
    "parquet": as_parquet,
}


def _text(name: str) -> str:
    """Return a file's name as Unicode, which Parquet needs and a file system does not."""
    return name.encode(errors="surrogateescape").decode(errors="replace")


def _coordinates(result: Encoding) -> list[str]:
    return [f"z{i}" for i in range(result.z_mean.shape[1])]
