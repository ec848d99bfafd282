"""Write a trained pair as SavedModels with explicit signatures, and read it back.

Encoder: image float32 (n, h, w) -> z_mean, z_log_var (n, d). Generator: z float32 (n, d) -> image (n, h, w), as
float32 in [0, 1] (`serving_default`), as uint8 grey levels (`render`), so that no float image need be copied out, and
as the logits before the last sigmoid (`logits`), from which losses are computed exactly.
Both are deterministic. Sampling is left to the caller: it would make a SavedModel change its own state.
"""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from app.models.store import PARTS, StoredVersion
from training.errors import PublishError
from training.model.autoencoder import Autoencoder

TOLERANCE = 1e-5
CAPTURE_NAME = re.compile(r'(key: "_user_specified_name"\s+value \{\s+s: ")\d+')
FUNCTION_NAME = re.compile(r"(__inference_\w*?)_(\d+)\b")


def save(model: Autoencoder, image_shape: tuple[int, int], latent_dim: int, folder: Path) -> None:
    """Write `encoder/` and `generator/` into a folder.

    Raises:
        PublishError: the files cannot be written, for instance because the disk is full.
    """
    import tensorflow as tf

    image = tf.TensorSpec((None, *image_shape), tf.float32, "image")
    z = tf.TensorSpec((None, latent_dim), tf.float32, "z")

    class Encoder(tf.Module):
        @tf.function(input_signature=[image], autograph=False)
        def encode(self, image: Any) -> dict[str, Any]:
            z_mean, z_log_var = model.encoder(image)
            return {"z_mean": z_mean, "z_log_var": z_log_var}

    class Generator(tf.Module):
        @tf.function(input_signature=[z], autograph=False)
        def generate(self, z: Any) -> dict[str, Any]:
            return {"image": model.generator(z)}

        @tf.function(input_signature=[z], autograph=False)
        def render(self, z: Any) -> dict[str, Any]:
            return {"image": tf.cast(tf.round(model.generator(z) * 255), tf.uint8)}

        @tf.function(input_signature=[z], autograph=False)
        def logits(self, z: Any) -> dict[str, Any]:
            return {"logits": model.logits(z)}

    encoder, generator = Encoder(), Generator()
    # The variables themselves, not Keras' wrappers: a wrapper is saved as a second variable, the restore operation
    # fills that one, and a loader that runs the graph as it stands (TensorFlow Serving's) finds the first one empty.
    encoder.weights = [variable.value for variable in model.encoder.variables]
    generator.weights = [variable.value for variable in model.generator.variables]
    signatures = {"serving_default": generator.generate, "render": generator.render, "logits": generator.logits}
    try:
        tf.saved_model.save(encoder, str(folder / "encoder"), {"serving_default": encoder.encode})
        tf.saved_model.save(generator, str(folder / "generator"), signatures)
    except tf.errors.OpError as exc:  # what TensorFlow makes of an OSError
        reason = str(exc.message).rpartition("; ")[2].partition(" [Op:")[0]
        raise PublishError(f"Nothing was published: the models cannot be written: {reason}.") from exc
    for part in PARTS:
        _settle(folder / part)


def _settle(folder: Path) -> None:
    """Make equal models give equal files, without the random fingerprint; make the files readable for all users."""
    (folder / "fingerprint.pb").unlink(missing_ok=True)
    _number_functions_anew(folder / "saved_model.pb")
    for path in (folder, *folder.rglob("*")):
        os.chmod(path, 0o755 if path.is_dir() else 0o644)


def _number_functions_anew(path: Path) -> None:
    """Renumber the graph's functions from 0 by name, and remove the numbers of captured variables.

    TensorFlow's own numbers depend on everything else that the process has done.
    """
    from google.protobuf import text_format
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    model = SavedModel()
    model.ParseFromString(path.read_bytes())
    text = CAPTURE_NAME.sub(r"\g<1>captured", text_format.MessageToString(model))
    found = sorted({(base, int(number)) for base, number in FUNCTION_NAME.findall(text)})
    bases = [base for base, _ in found]
    names = {f"{base}_{number}": f"{base}_{i - bases.index(base)}" for i, (base, number) in enumerate(found)}
    model = text_format.Parse(FUNCTION_NAME.sub(lambda match: names[match[0]], text), SavedModel())
    for graph in model.meta_graphs:
        graph.graph_def.library.function.sort(key=lambda function: function.signature.name)
    path.write_bytes(model.SerializeToString(deterministic=True))


def compare(model: Autoencoder, pixels: np.ndarray[Any, np.dtype[np.float32]], folder: Path) -> None:
    """Read back the files of `save` and compare them with the model in memory, for one image and for all.

    Args:
        model: the model that was saved.
        pixels: images (n, h, w) in [0, 1].
        folder: the folder that it was saved in.

    Raises:
        PublishError: the outputs differ by more than `TOLERANCE`, or in shape.
    """
    loaded = read(folder / "encoder", folder / "generator")
    for images in (pixels[:1], pixels):
        z_mean, z_log_var = model.encoder(images)
        z_mean_read, z_log_var_read = loaded.encoder(images)
        _same("z_mean", z_mean, z_mean_read)
        _same("z_log_var", z_log_var, z_log_var_read)
        _same("image", model.generator(z_mean), loaded.generator(z_mean))


def _same(name: str, trained: Any, loaded: Any) -> None:
    if trained.shape != loaded.shape:
        raise PublishError(f"The exported {name} has the shape {loaded.shape}, the trained one {trained.shape}.")
    difference = float(np.abs(trained.numpy() - loaded.numpy()).max())
    if not difference <= TOLERANCE:  # NaN is not
        raise PublishError(f"The exported {name} differs from the trained one by {difference}.")


def read(encoder: Path, generator: Path) -> Autoencoder:
    """Return the functions of a pair of SavedModels, which are called like the Keras models."""
    import tensorflow as tf

    # The functions hold their models: a model that nobody holds takes its variables along.
    encoding, generating = tf.saved_model.load(str(encoder)), tf.saved_model.load(str(generator))

    def encode(image: Any) -> tuple[Any, Any]:
        found = encoding.signatures["serving_default"](image=tf.convert_to_tensor(image))
        return found["z_mean"], found["z_log_var"]

    return Autoencoder(
        encode,
        lambda z: generating.signatures["serving_default"](z=tf.convert_to_tensor(z))["image"],
        lambda z: generating.signatures["logits"](z=tf.convert_to_tensor(z))["logits"],
    )


def read_version(stored: StoredVersion) -> Autoencoder:
    """Return the functions of a published version; verify it first, since a SavedModel is a program."""
    return read(stored.encoder, stored.generator)
