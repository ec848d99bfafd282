"""Reconstruction of images, and its loss: the anomaly score."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from app.imaging.types import FloatArray
from app.models.engine import Posterior


@dataclass(frozen=True)
class Reconstruction:
    """Images, their posterior, and their reconstruction at z_mean."""

    images: FloatArray  # (n, h, w), as the encoder saw them
    reconstruction: FloatArray  # (n, h, w), generated at z_mean
    posterior: Posterior

    @cached_property
    def xent(self) -> FloatArray:
        """Cross-entropy of image and reconstruction in nats, summed over the pixels; float32 (n,)."""
        p = np.clip(self.reconstruction.astype(np.float64), 1e-7, 1 - 1e-7)
        nats = -(self.images * np.log(p) + (1 - self.images) * np.log1p(-p))
        return np.asarray(nats.sum((1, 2)), np.float32)

    @cached_property
    def kl(self) -> FloatArray:
        """KL(q(z | image) || N(0, I)) in nats; float32 (n,). Kingma and Welling (2013), appendix B."""
        z_mean, z_log_var = (array.astype(np.float64) for array in self.posterior)
        nats = -0.5 * (1 + z_log_var - z_mean**2 - np.exp(z_log_var)).sum(1)
        return np.asarray(nats, np.float32)

    @property
    def loss(self) -> FloatArray:
        """The loss that training minimises, at z_mean, in nats: xent + kl; float32 (n,)."""
        return self.xent + self.kl
