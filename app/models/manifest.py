"""The commit record of a published version: its shapes, its training, and the digest of every file."""

from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class StoredFile(_Record):
    """One file of the pair of SavedModels."""

    path: str
    """Relative to the store, with forward slashes."""

    size: int = Field(ge=0)
    """Bytes."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, path: str) -> str:
        parts = PurePosixPath(path).parts
        if not parts or parts[0] not in ("encoder", "generator") or ".." in parts:
            raise ValueError("must lie under encoder/ or generator/")
        return path


class PixelContract(_Record):
    """The meaning of an image's numbers, both as input of the encoder and as output of the generator."""

    dtype: str = "float32"
    low: float = 0.0
    high: float = 1.0
    strokes: str = "light on dark"


class DataRecord(_Record):
    """The data a version was trained on."""

    name: str
    arrays: dict[str, str]
    """SHA-256 of each array's bytes in C order."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    """Of the digests of `arrays`, in order, as one text."""

    train_images: int = Field(ge=1)
    test_images: int = Field(ge=1)


class Manifest(_Record):
    """One published version. A version exists if and only if its manifest does."""

    version: int = Field(ge=1)
    created: datetime
    """UTC."""

    latent_dim: int = Field(ge=1)
    image_shape: tuple[int, int]
    """Height and width in pixels."""

    pixels: PixelContract = PixelContract()
    training: dict[str, Any]
    """The training configuration, whole."""

    data: DataRecord
    seed: int
    packages: dict[str, str]
    """Versions of what it was trained with."""

    measures: dict[str, float]
    """Nats per image on the test set, unless the name says else."""

    files: list[StoredFile] = Field(min_length=2)
