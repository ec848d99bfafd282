"""The notebook's figure: a square of the latent plane, evenly spaced in probability, and its decoded digits."""

import numpy as np

from app.imaging.types import FloatArray


def grid(n: int, low: float, high: float) -> FloatArray:
    """Compute n quantiles of N(0, 1), evenly spaced in probability from `low` to `high`; float32 (n,).

    `scipy.special.ndtri` gives the values of `scipy.stats.norm.ppf`; importing scipy.stats would take a second and
    60 MB.
    """
    from scipy.special import ndtri

    return np.asarray(ndtri(np.linspace(low, high, n)), np.float32)


def latents(quantiles: FloatArray, latent_dim: int, dims: tuple[int, int] = (0, 1)) -> FloatArray:
    """Return the latent vector of every tile, row by row from the top left; float32 (n * n, latent_dim).

    The tile at row i and column j has quantiles[j] along dims[0], quantiles[i] along dims[1], and zero elsewhere.
    """
    n = len(quantiles)
    z = np.zeros((n, n, latent_dim), np.float32)
    z[:, :, dims[0]] = quantiles[np.newaxis, :]
    z[:, :, dims[1]] = quantiles[:, np.newaxis]
    return z.reshape(n * n, latent_dim)
