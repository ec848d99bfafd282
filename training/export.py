"""A trained model to a published version: measured, saved, read back and compared, reported, committed."""

from __future__ import annotations

import platform
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import numpy as np

from app.manifest import Manifest, StoredFile
from training import savedmodels
from training.data import DataSet
from training.evaluate import evaluate
from training.page import write_page
from training.publish import REPORT, publish
from training.report import write_report
from training.train import Trained

PROBES = 32  # test images that the export is compared on


def export(
    trained: Trained, data: DataSet, store: Path, tell: Callable[[float], None] = lambda share: None
) -> Manifest:
    """Publish a trained model.

    Args:
        trained: the run.
        data: what it was trained on.
        store: the model store.
        tell: told the share of the measuring done, 0 to 1, which is most of the time.

    Returns:
        The manifest of the new version.

    Raises:
        PublishError: the store cannot be written, or what was written does not compute what was trained; then no
            version has become visible.
    """
    config = trained.config
    measures = evaluate(trained.model, data, config.seed, config.limit, tell)
    manifests: list[Manifest] = []

    def stage(folder: Path) -> None:
        savedmodels.save(trained.model, data.image_shape, config.latent_dim, folder)
        savedmodels.compare(trained.model, np.float32(1 / 255) * data.x_test[:PROBES], folder)
        write_report(trained, data, folder / REPORT)
        write_page(config, data, measures, folder / REPORT)

    def describe(version: int, files: list[StoredFile]) -> Manifest:
        manifests.append(_manifest(trained, data, measures, version, files))
        return manifests[-1]

    publish(store, stage, describe)
    return manifests[-1]


def _manifest(
    trained: Trained, data: DataSet, measures: dict[str, float], version: int, files: list[StoredFile]
) -> Manifest:
    return Manifest(
        version=version,
        created=datetime.now(UTC).replace(microsecond=0),
        latent_dim=trained.config.latent_dim,
        image_shape=data.image_shape,
        training=trained.config.model_dump(mode="json", exclude={"data", "seed"}),
        data=data.record,
        seed=trained.config.seed,
        packages=packages(),
        measures=measures,
        files=files,
    )


def packages() -> dict[str, str]:
    """Versions of what shapes a training run."""
    return {"python": platform.python_version()} | {
        name: metadata.version(name) for name in ("tensorflow", "keras", "numpy")
    }
