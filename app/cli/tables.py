"""Serialization of encoded images as a table: CSV, JSON, npy, Parquet."""

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
    """Check that the package for a format is installed, before any work is done.

    Raises:
        CommandError: the package is not installed.
    """
    if form == "parquet" and find_spec("pyarrow") is None:
        raise CommandError("Parquet needs pyarrow: pip install pyarrow, or write .csv, .json or .npy.")


def as_csv(inputs: list[Input], result: Encoding) -> bytes:
    """Serialize file, label and z_mean as CSV with a header; each number reads back as the same float32."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["file", "label", *_coordinates(result)])
    for each, z in zip(inputs, result.z_mean.tolist(), strict=True):
        writer.writerow([each.name, each.label, *z])
    return out.getvalue().encode(errors="surrogateescape")


def as_json(inputs: list[Input], result: Encoding) -> bytes:
    """Serialize the model version, and file, label, z_mean and z_log_var of every image, as JSON."""
    rows = [
        {"file": each.name, "label": each.label, "z_mean": z_mean, "z_log_var": z_log_var}
        for each, z_mean, z_log_var in zip(inputs, result.z_mean.tolist(), result.z_log_var.tolist(), strict=True)
    ]
    return json.dumps({"model_version": result.model_version, "images": rows}, indent=2).encode() + b"\n"


def as_npy(inputs: list[Input], result: Encoding) -> bytes:
    """Serialize z_mean, float32 (n, d), as an npy file."""
    return npy(result.z_mean)


def as_parquet(inputs: list[Input], result: Encoding) -> bytes:
    """Serialize the columns of the CSV as Parquet, with float32 coordinates."""
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
    """Return a file's name as valid Unicode, as Parquet requires; undecodable bytes are replaced."""
    return name.encode(errors="surrogateescape").decode(errors="replace")


def _coordinates(result: Encoding) -> list[str]:
    return [f"z{i}" for i in range(result.z_mean.shape[1])]
