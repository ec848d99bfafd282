"""The bodies and query strings of the HTTP API as pydantic models, from which the OpenAPI document is built."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.imaging.preparation import Fit, Invert, Preparation

# Finite as float32 and far beyond the prior: larger coordinates only overflow inside the generator.
Coordinate = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-1e6, le=1e6)]
Grey = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, le=255)]
# One error says enough: a list of a million wrong values would cost a million messages, and seconds.
_ONE_ERROR = Field(fail_fast=True)
Vector = Annotated[list[Coordinate], _ONE_ERROR]
PixelRows = Annotated[list[Annotated[list[Grey], _ONE_ERROR]], _ONE_ERROR]


class Described(BaseModel):
    """A model whose attributes are described by the docstrings below them, in the OpenAPI document too."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class _Body(Described):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Query(Described):
    model_config = ConfigDict(extra="forbid")


class EncodeRequest(_Body):
    """Images to encode, as JSON."""

    images: Annotated[list[str | PixelRows], _ONE_ERROR] = Field(min_length=1)
    """Each a picture file in base64 (a data: URL is fine), or rows of pixels of the model's size: numbers of 0 .. 1, or
    of 0 .. 255 if any is above 1, light strokes on dark."""


class GenerateRequest(_Body):
    """Latent vectors to decode, or a number of samples from the prior: exactly one of `z` and `sample`."""

    z: Vector | Annotated[list[Vector], _ONE_ERROR] | None = Field(None, examples=[[0.0, 0.0]])
    """One latent vector, or a list of them."""

    sample: Annotated[int, Field(ge=1)] | None = None
    """So many draws from the prior N(0, I)."""

    seed: Annotated[int, Field(ge=0, lt=2**64)] | None = None
    """Makes the draws repeatable; with `sample` only."""


class PreparationQuery(_Query):
    """Options of preprocessing for picture files. Of these, only `invert=true` applies to arrays and rows of pixels."""

    invert: Invert = "auto"
    """Turn dark-on-light round; auto judges by the border."""

    fit: Fit = "auto"
    """Cut out and centre the digit unless the picture has the model's size."""

    @property
    def preparation(self) -> Preparation:
        """Both, for the service."""
        return Preparation(self.invert, self.fit)


class SheetQuery(_Query):
    """Layout of generated digits in a PNG."""

    columns: int | None = Field(None, ge=1)
    """Digits in a row; by default about square."""

    scale: int = Field(1, ge=1)
    """Pixels per pixel."""


class ReconstructQuery(PreparationQuery):
    """Options of preprocessing, and the upscaling of the PNG."""

    scale: int = Field(1, ge=1)
    """Pixels per pixel."""


class ManifoldQuery(_Query):
    """The part of the latent plane to draw."""

    n: int = Field(15, ge=1)
    """Digits along each side."""

    scale: int = Field(1, ge=1)
    """Pixels per pixel."""

    low: float = Field(0.05, gt=0, lt=1)
    """Quantile of N(0, 1) at the left and the top."""

    high: float = Field(0.95, gt=0, lt=1)
    """Quantile of N(0, 1) at the right and the bottom."""

    dims: str = Field("0,1", pattern=r"^\d{1,4},\d{1,4}$")
    """The two latent coordinates that vary, across and down."""

    @model_validator(mode="after")
    def _low_is_lower(self) -> Self:
        if self.low >= self.high:
            raise ValueError("low must be less than high")
        return self

    @property
    def axes(self) -> tuple[int, int]:
        """`dims` as two integers."""
        across, down = self.dims.split(",")
        return int(across), int(down)


class NoQuery(_Query):
    """An empty query string."""


class EncodeResponse(Described):
    """The posterior of every image, in the order of the request."""

    model_version: int
    z_mean: list[list[float]]
    z_log_var: list[list[float]]


class GenerateResponse(Described):
    """Digits as PNG files in base64."""

    model_version: int
    z: list[list[float]]
    """What each digit was generated from, in float32."""

    images: list[str]


class ReconstructResponse(Described):
    """The reconstruction of every image; `loss`, in nats, is the anomaly score."""

    model_version: int
    z_mean: list[list[float]]
    z_log_var: list[list[float]]
    reconstruction: list[str]
    """PNG files in base64, generated at z_mean."""

    xent: list[float]
    """Cross-entropy of image and reconstruction, summed over the pixels."""

    kl: list[float]
    """KL divergence of the posterior from the prior."""

    loss: list[float]
    """xent + kl."""


class Problem(Described):
    """An error, as a problem document (RFC 9457)."""

    type: str
    """A URN that ends in the code."""

    title: str
    status: int
    detail: str
    """What was wrong and what would be right."""

    code: str
    """Stable, for programs."""

    request_id: str
    """As in the header X-Request-ID, and in the service's log."""

    model_config = ConfigDict(json_schema_extra={"examples": []})


class ProtocolError(Described):
    """An error under /v1 and /v2, in the form of the two serving protocols."""

    error: str
    """What was wrong and what would be right."""


class State(Described):
    """The state that a probe reports."""

    status: str


def rejection(errors: list[Any]) -> str:
    """Describe the most specific of pydantic's errors, the one with the longest location, in a few words."""
    error = max(errors, key=lambda e: len(e["loc"]))
    where = ".".join(str(part) for part in error["loc"] if not (isinstance(part, str) and "[" in part))
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
