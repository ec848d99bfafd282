"""The model's own Keras layers: Fourier features, and clipping to a range."""

from typing import Any

import keras


class FourierFeatures(keras.layers.Layer):
    """Maps z to [z, sin(z B), cos(z B)], B trainable: a plain network can vary quickly over a low-dimensional z.

    Tancik et al., "Fourier features let networks learn high frequency functions in low dimensional domains" (2020).

    Args:
        features: number of columns of B; the output is (n, d + 2 * features).
        scale: standard deviation of B's initial values.
    """

    def __init__(self, features: int, scale: float, **options: Any) -> None:
        super().__init__(**options)
        self.features = features
        self.scale = scale

    def build(self, shape: tuple[int | None, int]) -> None:
        """Create B, (d, features)."""
        draw = keras.initializers.RandomNormal(0.0, self.scale)
        self.frequencies = self.add_weight((shape[-1], self.features), draw, name="frequencies")

    def call(self, z: Any) -> Any:
        """Map z, (n, d), to (n, d + 2 * features)."""
        phase = keras.ops.matmul(z, self.frequencies)
        return keras.ops.concatenate([z, keras.ops.sin(phase), keras.ops.cos(phase)], -1)


class Bound(keras.layers.Layer):
    """Clips its input elementwise to a range; outside of it the gradient is zero."""

    def __init__(self, low: float, high: float, **options: Any) -> None:
        super().__init__(**options)
        self.low = low
        self.high = high

    def call(self, tensor: Any) -> Any:
        """Return the tensor, clipped, with the same shape."""
        return keras.ops.clip(tensor, self.low, self.high)
