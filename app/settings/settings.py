"""The service's settings, read once from the environment by main, then passed in."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.settings.api_keys import Key, parse_keys, read_keys
from app.settings.values import Rate, parse_origins, parse_proxies, parse_rate


def _read_by(parse: Callable[[Any], Any]) -> BeforeValidator:
    """Return a validator that parses text with `parse` and takes other values as they are."""
    return BeforeValidator(lambda given: parse(given) if isinstance(given, str | Path) else given)


class Settings(BaseSettings):
    """The service's settings; each is the environment variable VAE_<NAME>, in capitals.

    Raises:
        pydantic.ValidationError: if a variable does not parse or is out of range.
    """

    # What was given is not repeated in errors: it may be a key.
    model_config = SettingsConfigDict(
        env_prefix="VAE_", frozen=True, extra="ignore", hide_input_in_errors=True, use_attribute_docstrings=True
    )

    model_store: Path = Path("model_store")
    """Folder of published versions, read only."""

    model_version: int | None = Field(None, ge=1)
    """Serve this version; unset, the one that the store pins, or else its newest."""

    reload_interval_s: float = Field(5.0, ge=0)
    """Time, in seconds, between two looks for another version in the store; 0 never looks."""

    max_body_bytes: int = Field(16 * 2**20, ge=1024)
    """Largest request body, in bytes; more is refused with 413."""

    max_json_values: int = Field(2**19, ge=1024)
    """Most values (numbers, strings, lists, ...) in a JSON body; more is refused with 413."""

    max_image_pixels: int = Field(32_000_000, ge=784)
    """Largest picture, in pixels, checked before it is decoded."""

    max_request_pixels: int = Field(128_000_000, ge=784)
    """Most pixels of all pictures in one request, checked before any is decoded."""

    max_images: int = Field(256, ge=1)
    """Most picture files in one request."""

    max_rows: int = Field(4096, ge=1)
    """Most latent vectors or array images in one request, and most prior samples."""

    max_manifold_n: int = Field(64, ge=2)
    """Most digits along one side of the manifold."""

    max_scale: int = Field(16, ge=1)
    """Largest enlargement of a digit in a picture."""

    max_picture_pixels: int = Field(16_000_000, ge=784)
    """Largest picture that is made, in pixels (manifold, contact sheet)."""

    max_response_bytes: int = Field(128 * 2**20, ge=2**16)
    """Largest JSON answer, in bytes, as estimated from its numbers."""

    max_batch: int = Field(1024, ge=1)
    """Most rows of one model call."""

    max_queue: int = Field(8192, ge=1)
    """Most rows that may wait for the model; beyond it requests get 503."""

    max_requests: int = Field(1024, ge=1)
    """Most requests under way in one worker; beyond it they get 503."""

    max_inline_rows: int = Field(256, ge=0)
    """Most rows that are run on the event loop if that is quicker; 0 uses the thread always."""

    request_timeout_s: float = Field(30.0, gt=0)
    """Longest time, in seconds, from a request's first byte to its answer."""

    recovery_s: float = Field(10.0, ge=0)
    """Time, in seconds, that a model which fails on probes has before the process ends."""

    model_timeout_s: float = Field(60.0, ge=0)
    """Longest time, in seconds, of one model call; then the process ends; 0 watches none."""

    max_connections: int = Field(4096, ge=1)
    """Most open connections of one worker; an idle one makes room, else 503."""

    max_header_bytes: int = Field(32768, ge=1024)
    """Longest request line and header fields, in bytes; more is refused with 431."""

    max_headers: int = Field(100, ge=8)
    """Most header fields of a request; more is refused with 431."""

    header_timeout_s: float = Field(10.0, gt=0)
    """Longest time, in seconds, that a request's head may take to come."""

    body_timeout_s: float = Field(30.0, gt=0)
    """Longest time, in seconds, that a request's body may take to come; then 408."""

    idle_timeout_s: float = Field(75.0, gt=0)
    """Time, in seconds, after which a connection without a request is closed."""

    send_timeout_s: float = Field(60.0, gt=0)
    """Longest time, in seconds, that a caller may take over an answer; then it is cut off."""

    max_unsent_bytes: int = Field(256 * 2**20, ge=2**20)
    """Most bytes of answers that wait for slow callers; the slowest are cut off."""

    intra_op_threads: int = Field(1, ge=0)
    """Threads of one model operation on the CPU; 0 leaves it to TensorFlow."""

    batch_threads: int = Field(0, ge=0)
    """Threads that share a model call of 512 rows or more; 0 for the cores of each worker."""

    shutdown_grace_s: int = Field(20, ge=1)
    """Longest time, in seconds, that requests in flight may take once told to stop."""

    drain_s: float = Field(0.0, ge=0)
    """Time, in seconds, between saying not ready and closing the port, once told to stop."""

    api_keys: Annotated[tuple[Key, ...] | None, NoDecode, _read_by(parse_keys)] = Field(None, repr=False)
    """Keys that may call, each NAME:HASH as `digit-vae key` prints it; unset, all may."""

    api_keys_file: Annotated[tuple[Key, ...] | None, NoDecode, _read_by(read_keys)] = Field(None, repr=False)
    """File of more such keys, a line each; it is read when a worker starts."""

    docs: bool = True
    """Whether /docs, /redoc and /openapi.json are served; they need no key."""

    explorer: bool = True
    """Whether the explorer is served; its files need no key, its data do."""

    metrics: Literal["key", "open", "off"] = "key"
    """Who may read /metrics: `key`, who may call; `open`, anybody; `off`, nobody."""

    cors_origins: Annotated[tuple[str, ...] | None, NoDecode, _read_by(parse_origins)] = None
    """Origins whose pages may call from a browser, between them commas; `*` is any, unset none."""

    rate_limit: Annotated[Rate | None, NoDecode, _read_by(parse_rate)] = None
    """Most requests of one key or address in one worker, such as 100/s; beyond it they get 429."""

    rate_burst: int | None = Field(None, ge=1)
    """Most requests of one caller at once; unset, as many as in the limit's period."""

    trusted_proxies: Annotated[str | None, _read_by(parse_proxies)] = None
    """Addresses of proxies whose X-Forwarded-For is believed, between them commas; unset, nobody."""

    metrics_dir: Path | None = None
    """Folder in which workers share their counts; scripts/serve makes one for several workers."""

    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    """Least level logged."""

    log_format: Literal["text", "json"] = "text"
    """How log lines look: `text`, or one JSON object each."""

    access_log: bool | None = None
    """A log line for every request; unset, with `json` only."""

    @property
    def all_keys(self) -> tuple[Key, ...]:
        """All accepted keys; if there are none, requests need no key."""
        return (*(self.api_keys or ()), *(self.api_keys_file or ()))

    @model_validator(mode="after")
    def _a_full_request_fits_the_queue(self) -> Self:
        if self.max_queue < max(self.max_rows, self.max_manifold_n**2):
            raise ValueError("max_queue must be at least max_rows and max_manifold_n squared")
        return self

    @property
    def access_lines(self) -> bool:
        """True if requests are logged; by default with `log_format` json only."""
        return self.log_format == "json" if self.access_log is None else self.access_log
