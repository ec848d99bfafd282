"""The configuration of a training run: all hyperparameters that shape the model, and the presets by name."""

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
    epochs: int = Field(20, ge=1, description="Passes over the training images.")
    batch_size: int = Field(100, ge=1, description="Images of one step.")
    seed: int = Field(0, ge=0, lt=2**31, description="Decides weights, shuffling and noise.")

    latent_dim: int = Field(2, ge=1, le=512, description="Length of z.")
    encoder_units: Units = Field((256,), description="Hidden layers, from the image to z.")
    generator_units: Units = Field((256,), description="Hidden layers, from z to the image.")
    activation: str = "relu"
    initializer: str = Field("glorot_uniform", description="Of the hidden layers' kernels.")
    fourier_features: int = Field(0, ge=0, description="Sines and cosines of z, so many each, given to the generator.")
    fourier_scale: float = Field(1.5, gt=0, description="Standard deviation of their first frequencies.")
    initial_log_var: float | None = Field(None, description="Where z_log_var starts; by default wherever it falls.")

    optimizer: Literal["rmsprop", "adamw"] = "rmsprop"
    learning_rate: float = Field(1e-3, gt=0, description="Peak learning rate.")
    warmup_epochs: float = Field(0.0, ge=0, description="Epochs in which it rises from 0; then it falls as a cosine.")
    weight_decay: float = Field(0.0, ge=0, description="Of the kernels, times the learning rate.")
    average: float = Field(0.0, ge=0, lt=1, description="Decay of the running mean of the weights that is published.")

    epsilon_std: float = Field(1.0, ge=0, description="Standard deviation of the noise that samples z.")
    warp: float = Field(0.0, ge=0, le=3, description="Strength of the warped copies that the encoder also learns from.")


PRESETS = {
    # The notebook as it stands, and the long run whose picture it ends with.
    "notebook": Config(preset="notebook", limit=20_000, epochs=20),
    "notebook-full": Config(preset="notebook-full", epochs=50),
    # The one that is shipped: nearly as strong as `best` at a third of its arithmetic. docs/decisions/0008.
    "swift": Config(
        preset="swift",
        epochs=90,
        batch_size=128,
        encoder_units=(192, 224, 224),
        generator_units=(256, 320, 320),
        activation="silu",
        initializer="he_normal",
        fourier_features=64,
        initial_log_var=-2.0,
        optimizer="adamw",
        warmup_epochs=1.0,
        weight_decay=1e-4,
        average=0.999,
        warp=1.0,
    ),
    # The strongest that trains in a quarter of an hour on two cores: docs/decisions/0005.
    "best": Config(
        preset="best",
        epochs=60,
        batch_size=128,
        encoder_units=(512, 512, 512, 512, 256),
        generator_units=(256, 512, 512, 512, 512),
        activation="silu",
        initializer="he_normal",
        fourier_features=64,
        initial_log_var=-2.0,
        optimizer="adamw",
        warmup_epochs=1.0,
        weight_decay=1e-4,
        average=0.999,
        warp=1.0,
    ),
}
