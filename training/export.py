"""A trained model to a published version: SavedModels, read back and compared, then the report, then the commit.

Encoder: image float32 (n, h, w) -> z_mean, z_log_var (n, d). Generator: z float32 (n, d) -> image (n, h, w), as
float32 in [0, 1] (`serving_default`) and as uint8 grey levels (`render`), so that no float image need be copied out.
Both are deterministic: sampling would make a SavedModel change its own state, and is left to who calls it.
"""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from app.manifest import Manifest, StoredFile
from training.data import DataSet
from training.errors import PublishError
from training.evaluate import evaluate
from training.publish import REPORT, publish
from training.report import write_report
from training.train import Trained

TOLERANCE = 1e-5
PROBES = 32  # test images that are compared, besides one alone


def export(trained: Trained, data: DataSet, store: Path) -> Manifest:
    """Publish a trained model.

    Returns:
        The manifest of the new version.

    Raises:
        PublishError: the store cannot be written, or what was written does not compute what was trained; then no
            version has become visible.
    """
    measures = evaluate(trained.config, trained.model, data)
    manifests: list[Manifest] = []

    def stage(folder: Path) -> None:
        save_pair(trained, folder)
        compare_pair(trained, data, folder)
        write_report(trained, data, folder / REPORT)

    def describe(version: int, files: list[StoredFile]) -> Manifest:
        manifests.append(_manifest(trained, data, measures, version, files))
        return manifests[-1]

    publish(store, stage, describe)
    return manifests[-1]


def save_pair(trained: Trained, folder: Path) -> None:
    """Write `encoder/` and `generator/` as SavedModels with explicit signatures."""
    import tensorflow as tf

    height, width = trained.model.encoder.input_shape[1:]
    image = tf.TensorSpec((None, height, width), tf.float32, "image")
    z = tf.TensorSpec((None, trained.config.latent_dim), tf.float32, "z")

    encode_with, generate_with = trained.model.encoder, trained.model.generator

    class Encoder(tf.Module):
        @tf.function(input_signature=[image])
        def encode(self, image: Any) -> dict[str, Any]:
            z_mean, z_log_var = encode_with(image)
            return {"z_mean": z_mean, "z_log_var": z_log_var}

    class Generator(tf.Module):
        @tf.function(input_signature=[z])
        def generate(self, z: Any) -> dict[str, Any]:
            return {"image": generate_with(z)}

        @tf.function(input_signature=[z])
        def render(self, z: Any) -> dict[str, Any]:
            return {"image": tf.cast(tf.round(generate_with(z) * 255), tf.uint8)}

    encoder, generator = Encoder(), Generator()
    # The variables themselves, not Keras' wrappers: a wrapper is saved as a second variable, the restore operation
    # fills that one, and a loader that runs the graph as it stands (TensorFlow Serving's) finds the first one empty.
    encoder.weights = [variable.value for variable in encode_with.variables]
    generator.weights = [variable.value for variable in generate_with.variables]
    tf.saved_model.save(encoder, str(folder / "encoder"), {"serving_default": encoder.encode})
    tf.saved_model.save(
        generator,
        str(folder / "generator"),
        {"serving_default": generator.generate, "render": generator.render},
    )
    # Written whatever the process's umask was: a server that runs as another user must be able to read it.
    for path in (folder / part for part in ("encoder", "generator")):
        for each in (path, *path.rglob("*")):
            os.chmod(each, 0o755 if each.is_dir() else 0o644)


def compare_pair(trained: Trained, data: DataSet, folder: Path) -> None:
    """Load what `save_pair` wrote and compare it with the model in memory, for one image and for several.

    Raises:
        PublishError: they differ by more than `TOLERANCE`, or in shape.
    """
    import tensorflow as tf

    encoder = tf.saved_model.load(str(folder / "encoder")).signatures["serving_default"]
    generator = tf.saved_model.load(str(folder / "generator")).signatures["serving_default"]
    for n in (1, min(PROBES, len(data.x_test))):
        pixels = tf.constant(data.x_test[:n], tf.float32) / 255
        z_mean, z_log_var = trained.model.encoder(pixels)
        loaded = encoder(image=pixels)
        _same("z_mean", z_mean, loaded["z_mean"])
        _same("z_log_var", z_log_var, loaded["z_log_var"])
        _same("image", trained.model.generator(z_mean), generator(z=z_mean)["image"])


def _same(name: str, trained: Any, loaded: Any) -> None:
    if trained.shape != loaded.shape:
        raise PublishError(f"The exported {name} has the shape {loaded.shape}, the trained one {trained.shape}.")
    difference = float(np.abs(trained.numpy() - loaded.numpy()).max())
    if not difference <= TOLERANCE:  # NaN is not
        raise PublishError(f"The exported {name} differs from the trained one by {difference}.")


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
