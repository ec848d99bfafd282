"""What the model makes of images, and what that costs: the anomaly score."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from app.imaging.types import FloatArray
from app.models.engine import Posterior


@dataclass(frozen=True)
class Reconstruction:
    """Images, and what became of them by way of the latent space."""

    images: FloatArray  # (n, h, w), as the encoder saw them
    reconstruction: FloatArray  # (n, h, w), generated at z_mean
    posterior: Posterior

    @cached_property
    def xent(self) -> FloatArray:
        """Cross-entropy in nats, summed over the pixels; (n,)."""
        p = np.clip(self.reconstruction.astype(np.float64), 1e-7, 1 - 1e-7)
        nats = -(self.images * np.log(p) + (1 - self.images) * np.log1p(-p))
        return np.asarray(nats.sum((1, 2)), np.float32)

    @cached_property
    def kl(self) -> FloatArray:
        """KL(q(z | image) || N(0, I)) in nats; (n,). Kingma and Welling (2013), appendix B."""
        z_mean, z_log_var = (array.astype(np.float64) for array in self.posterior)
        nats = -0.5 * (1 + z_log_var - z_mean**2 - np.exp(z_log_var)).sum(1)
        return np.asarray(nats, np.float32)

    @property
    def loss(self) -> FloatArray:
        """The bound that training minimises, at z_mean: xent + kl; (n,)."""
        return self.xent + self.kl
