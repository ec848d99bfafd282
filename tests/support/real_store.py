"""Small real versions, published as training publishes them, whole or with a fault. Needs TensorFlow."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.fake_store import SHAPE, D, fake_manifest
from training.config import Config
from training.export.publish import publish

SMALL = Config(encoder_units=(32,), generator_units=(32,))


def nothing(*_: Any) -> None:
    """The fault of a version that has none."""


def publish_real(
    store: Path,
    config: Config = SMALL,
    spoil_weights: Callable[[Any], object] = nothing,
    spoil_files: Callable[[Path], object] = nothing,
) -> int:
    """Publish an untrained model; what is spoiled is spoiled before its digests are taken."""
    from training.export import savedmodel
    from training.model.autoencoder import build

    def stage(folder: Path) -> None:
        model = build(config, SHAPE)
        spoil_weights(model)
        savedmodel.save(model, SHAPE, D, folder)
        (folder / "reports").mkdir()
        spoil_files(folder)

    return publish(store, stage, fake_manifest)


def export(folder: Path, signatures: dict[str, tuple[str, Callable[[Any], dict[str, Any]]]]) -> None:
    """A SavedModel in place of the one in a folder: for each signature the name of its input, and its function."""
    import shutil

    import tensorflow as tf

    module = tf.Module()
    found = {}
    for name, (source, function) in signatures.items():
        shape = (None, *SHAPE) if source == "image" else (None, D)
        found[name] = tf.function(function, input_signature=[tf.TensorSpec(shape, tf.float32, source)])
        setattr(module, name, found[name])
    shutil.rmtree(folder)
    tf.saved_model.save(module, str(folder), found)
    (folder / "fingerprint.pb").unlink(missing_ok=True)
