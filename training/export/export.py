"""Publish a trained model: measure, save, read back and compare, report, commit."""

import functools
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from app.models.manifest import Manifest, StoredFile
from training.data.dataset import DataSet
from training.evaluation.html_report import write_page
from training.evaluation.metrics import evaluate
from training.evaluation.report import write_report
from training.export import savedmodel
from training.export.publish import REPORT, publish
from training.loop.train import TrainingResult

PARTS = ("measuring", "exporting", "reporting")
PROBES = 32  # test images that the export is compared on


def export(
    trained: TrainingResult,
    data: DataSet,
    store: Path,
    on_progress: Callable[[str, float], None] = lambda part, share: None,
) -> Manifest:
    """Publish a trained model.

    Args:
        trained: the run.
        data: the data set that the model was trained on.
        store: the model store.
        on_progress: called with the current part of the work, one of `PARTS`, and the share of it done, 0 to 1.

    Returns:
        The manifest of the new version.

    Raises:
        PublishError: the store cannot be written, or the saved model's outputs differ from the trained one's. No
            version has become visible then.
    """
    config = trained.config
    measuring, exporting, reporting = PARTS
    measures = evaluate(trained.model, data, config.seed, config.limit, functools.partial(on_progress, measuring))
    manifests: list[Manifest] = []

    def stage(folder: Path) -> None:
        on_progress(exporting, 0.0)
        savedmodel.save(trained.model, data.image_shape, config.latent_dim, folder)
        savedmodel.compare(trained.model, np.float32(1 / 255) * data.x_test[:PROBES], folder)
        on_progress(reporting, 0.0)
        write_report(trained, data, folder / REPORT)
        write_page(config, data, measures, folder / REPORT)

    def describe(version: int, files: list[StoredFile]) -> Manifest:
        manifests.append(_manifest(trained, data, measures, version, files))
        return manifests[-1]

    publish(store, stage, describe)
    return manifests[-1]


def _manifest(
    trained: TrainingResult, data: DataSet, measures: dict[str, float], version: int, files: list[StoredFile]
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
    """Return the versions of Python and of the packages that affect a training run."""
    import keras
    import tensorflow as tf

    # By the modules: TensorFlow's comes with a package of either of two names.
    return {"python": platform.python_version()} | {each.__name__: each.__version__ for each in (tf, keras, np)}
