"""The SavedModels as TensorFlow's documentation loads them, and PNGs by Pillow; what all peers share."""

import io
import os
from pathlib import Path

import numpy as np
from PIL import Image

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


class Models:
    """Encoder and generator of the newest version in VAE_MODEL_STORE."""

    def __init__(self) -> None:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        store = Path(os.environ["VAE_MODEL_STORE"])
        version = max(int(path.stem) for path in (store / "manifests").glob("*.json"))
        self._tf = tf
        self._loaded = [tf.saved_model.load(str(store / part / str(version))) for part in ("encoder", "generator")]
        self._encoder, self._generator = (each.signatures["serving_default"] for each in self._loaded)

    def generate(self, z) -> np.ndarray:
        """Latent vectors (n, d) to grey levels uint8 (n, h, w)."""
        images = self._generator(z=self._tf.constant(z, self._tf.float32))["image"].numpy()
        return np.rint(images * 255).astype(np.uint8)

    def encode(self, images) -> tuple[list, list]:
        """Grey levels (n, h, w) to z_mean and z_log_var."""
        found = self._encoder(image=self._tf.constant(np.asarray(images, np.float32) / 255))
        return found["z_mean"].numpy().tolist(), found["z_log_var"].numpy().tolist()


def png_of(levels: np.ndarray) -> bytes:
    """A picture as a PNG file."""
    out = io.BytesIO()
    Image.fromarray(levels).save(out, "PNG", compress_level=1)
    return out.getvalue()


def levels_of(png: bytes) -> np.ndarray:
    """The pixels of a PNG file."""
    return np.asarray(Image.open(io.BytesIO(png), formats=("PNG",)).convert("L"))
