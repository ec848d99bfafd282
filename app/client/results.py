"""Results of calls: arrays, and the same digits as pictures."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from app.client.errors import VersionChanged

FloatArray = npt.NDArray[np.float32]
ByteArray = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Encoding:
    """The posterior of every image, in the order given."""

    z_mean: FloatArray  # (n, d)
    z_log_var: FloatArray  # (n, d)
    model_version: int

    def __len__(self) -> int:
        return len(self.z_mean)


@dataclass(frozen=True)
class Generated:
    """Digits, and the latent vectors from which they were decoded."""

    pixels: ByteArray  # (n, h, w), light strokes on dark
    z: FloatArray  # (n, d)
    model_version: int

    def __len__(self) -> int:
        return len(self.pixels)

    def pictures(self) -> list[Image.Image]:
        """Return each digit as a PIL image of mode L."""
        return [Image.fromarray(digit) for digit in self.pixels]


@dataclass(frozen=True)
class Reconstruction:
    """The reconstruction of every image, and its loss in nats; `loss` is the anomaly score."""

    z_mean: FloatArray  # (n, d)
    z_log_var: FloatArray  # (n, d)
    pixels: ByteArray  # (n, h, w), generated at z_mean
    xent: FloatArray  # (n,)
    kl: FloatArray  # (n,)
    loss: FloatArray  # (n,), xent + kl
    model_version: int

    def __len__(self) -> int:
        return len(self.loss)

    def pictures(self) -> list[Image.Image]:
        """Return each reconstruction as a PIL image of mode L."""
        return [Image.fromarray(digit) for digit in self.pixels]


@dataclass(frozen=True)
class Drawing:
    """A picture drawn by the service."""

    png: bytes
    model_version: int

    def picture(self) -> Image.Image:
        """Return the picture as a PIL image."""
        return Image.open(io.BytesIO(self.png))

    @property
    def pixels(self) -> ByteArray:
        """Grey levels, uint8 (height, width)."""
        return np.array(self.picture())


def joined_encodings(parts: Sequence[Encoding]) -> Encoding:
    """Join the results of batches, in order.

    Raises:
        VersionChanged: the results come from several versions of the model.
    """
    return Encoding(
        np.concatenate([part.z_mean for part in parts]),
        np.concatenate([part.z_log_var for part in parts]),
        _one_version(parts),
    )


def joined_digits(parts: Sequence[Generated]) -> Generated:
    """Join the results of batches, in order.

    Raises:
        VersionChanged: the results come from several versions of the model.
    """
    return Generated(
        np.concatenate([part.pixels for part in parts]),
        np.concatenate([part.z for part in parts]),
        _one_version(parts),
    )


def joined_reconstructions(parts: Sequence[Reconstruction]) -> Reconstruction:
    """Join the results of batches, in order.

    Raises:
        VersionChanged: the results come from several versions of the model.
    """
    return Reconstruction(
        z_mean=np.concatenate([part.z_mean for part in parts]),
        z_log_var=np.concatenate([part.z_log_var for part in parts]),
        pixels=np.concatenate([part.pixels for part in parts]),
        xent=np.concatenate([part.xent for part in parts]),
        kl=np.concatenate([part.kl for part in parts]),
        loss=np.concatenate([part.loss for part in parts]),
        model_version=_one_version(parts),
    )


def _one_version(parts: Sequence[Encoding | Generated | Reconstruction]) -> int:
    versions = sorted({part.model_version for part in parts})
    if len(versions) > 1:
        raise VersionChanged(
            f"Versions {' and '.join(map(str, versions))} of the model answered parts of this call: the service "
            "changed to another in between. Their latent spaces have nothing in common; ask again."
        )
    return versions[0]
