"""What a training run is: every choice that shapes the model, and the presets by name."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Units = tuple[int, ...]


class Config(BaseModel):
    """One training run. Equal configurations on equal data give equal models on the same machine.

    Raises:
        pydantic.ValidationError: a value is out of range.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: str = "notebook"
    data: str = Field("mnist", description="mnist, mnist-5k or a path.")
    limit: int | None = Field(None, ge=1, description="Train on the first so many images.")
    epochs: int = Field(20, ge=1)
    batch_size: int = Field(100, ge=1)
    latent_dim: int = Field(2, ge=1, le=512)
    encoder_units: Units = Field((256,), description="Hidden layers, from the image to z.")
    generator_units: Units = Field((256,), description="Hidden layers, from z to the image.")
    activation: str = "relu"
    optimizer: Literal["rmsprop"] = "rmsprop"
    learning_rate: float = Field(1e-3, gt=0)
    epsilon_std: float = Field(1.0, ge=0, description="Standard deviation of the noise that samples z.")
    seed: int = Field(0, ge=0, lt=2**31)


PRESETS = {
    # The notebook as it stands, and the long run whose picture it ends with.
    "notebook": Config(preset="notebook", limit=20_000, epochs=20),
    "notebook-full": Config(preset="notebook-full", epochs=50),
}
