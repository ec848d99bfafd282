"""The test set's latent points, from the table in a version's report, as JSON for the explorer's page.

latents.npz (training/evaluation/report.py) -> load -> loader.py -> LoadedModel -> api/explorer/routes.py
"""

import json
import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt

MAX_POINTS = 10_000
MAX_NUMBERS = 200_000  # about 1.4 MB of text, whatever the latent size
DECIMALS = 3  # a thousandth is far less than a pixel

NONE = b'{"z_mean":[],"labels":null}'

log = logging.getLogger(__name__)


def load(table: Path) -> bytes:
    """Read the points as `{"z_mean": [[..d..], ...], "labels": [..] or null}`; no points without a readable table.

    A report is an optional part of a version: a damaged table leaves the page without points, and the service starts.
    """
    if not table.is_file():
        return NONE
    try:
        with table.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            z_mean = np.asarray(arrays["z_mean"], np.float64)  # (n, d)
            labels = np.asarray(arrays["labels"], np.int64) if "labels" in arrays else None  # (n,)
        return _as_json(z_mean, labels)
    except Exception as error:  # np.load meets a damaged file with whatever the zip or the header runs into
        log.warning("the report's latent points cannot be read, the explorer goes without: %s", error)
        return NONE


def _as_json(z_mean: npt.NDArray[np.float64], labels: npt.NDArray[np.int64] | None) -> bytes:
    if z_mean.ndim != 2 or not np.isfinite(z_mean).all() or (labels is not None and labels.shape != z_mean.shape[:1]):
        raise ValueError(f"z_mean has the shape {z_mean.shape}, or numbers that are not finite")
    most = max(1, min(MAX_POINTS, MAX_NUMBERS // max(1, z_mean.shape[1])))
    step = max(1, -(-len(z_mean) // most))  # every step-th: a test set is in no order that this would favour
    document = {
        "z_mean": z_mean[::step].round(DECIMALS).tolist(),
        "labels": None if labels is None else labels[::step].tolist(),
    }
    return json.dumps(document, separators=(",", ":")).encode()
