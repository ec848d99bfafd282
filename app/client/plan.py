"""Logic that both clients share: arguments of requests, evaluation of outcomes, splitting of batches.

One refused image makes the service refuse the whole request, without naming the image. The clients therefore halve a
refused batch and send it again until one image is left; the error then has its index.
"""

import os
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np

from app.client.answers import problem
from app.client.calls import Call
from app.client.errors import InvalidInput, NotReady, ProblemError, error_of
from app.client.inputs import Batch
from app.client.results import FloatArray
from app.client.retries import connection_error

DEFAULT_URL = "http://127.0.0.1:8000"
KEY_VARIABLE = "VAE_API_KEY"
TIMEOUT_S = 30.0
READY_WAIT_S = 0.25
PROBE_S = 10.0  # most for one question: who was asked may have ended, and another begun to answer at the address
ONE_OF_THEM = frozenset({"invalid-image", "image-too-large", "body-too-large", "empty-body"})
MOST_LATENTS = 1024  # in one request; the service takes 4096 unless it is set otherwise


def options(url: str, headers: dict[str, str] | None, api_key: str | None, timeout_s: float) -> dict[str, Any]:
    """Return the arguments of httpx's client.

    Raises:
        InvalidInput: the address is not an HTTP URL, or the key is not printable ASCII without spaces.
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as exc:
        raise InvalidInput(f"{url} is not an address: {exc}") from exc
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise InvalidInput(f"The address of a service is http://HOST:PORT; got {url!r}.")
    given = httpx.Headers(headers)
    # Authorization may be a proxy's: in the headers, or as http://USER:PASSWORD@HOST.
    taken = "authorization" in given or bool(parsed.userinfo)
    return {"base_url": parsed, "headers": [*_key(api_key, taken).items(), *given.multi_items()], "timeout": timeout_s}


def _key(api_key: str | None, taken: bool) -> dict[str, str]:
    """Return the header with the API key, if there is one. Errors never contain the key, since they are logged."""
    key = (os.environ.get(KEY_VARIABLE, "") if api_key is None else api_key).strip()
    if not all("!" <= letter <= "~" for letter in key):
        raise InvalidInput("An API key is made of letters, digits and signs of ASCII, without a space.")
    if not key:
        return {}
    return {"x-api-key": key} if taken else {"authorization": f"Bearer {key}"}


def arguments(call: Call, timeout_s: float | None) -> dict[str, Any]:
    """Return a call as the arguments of httpx's `request`; if `timeout_s` is None, the client's timeout applies."""
    limits = {} if timeout_s is None else {"timeout": timeout_s}
    return limits | {
        "method": call.method,
        "url": call.path,
        "headers": dict(call.headers),
        "params": dict(call.params),
        "content": call.content,
        "files": list(call.files) if call.files else None,
    }


def judged(outcome: httpx.Response | httpx.TransportError, url: str) -> httpx.Response:
    """Return the response of a final outcome if it is a success.

    Raises:
        ConnectionFailed: there is no response.
        ProblemError: the response is an error.
    """
    if isinstance(outcome, httpx.TransportError):
        raise connection_error(outcome, url) from outcome
    if outcome.status_code != 200:
        raise error_of(problem(outcome))
    return outcome


def probe_s(left_s: float) -> float:
    """Return the timeout of one request of `wait_ready`; connecting and the response may each take that long."""
    return min(max(left_s, READY_WAIT_S), PROBE_S) / 2


def not_ready(outcome: httpx.Response | httpx.TransportError, url: str, timeout_s: float) -> NotReady:
    """Return the error that `wait_ready` raises, with the last outcome as its reason."""
    why = problem(outcome).detail if isinstance(outcome, httpx.Response) else connection_error(outcome, url)
    return NotReady(f"{url} was not ready after {timeout_s:g} s: {why}")


def is_ready(outcome: httpx.Response | httpx.TransportError) -> bool:
    """Return whether GET /readyz succeeded."""
    return isinstance(outcome, httpx.Response) and outcome.status_code == 200


def may_be_halved(error: ProblemError, batch: Batch) -> bool:
    """Return whether the service may accept a part of the batch that it refused as a whole."""
    return len(batch) > 1 and error.code in ONE_OF_THEM


def placed(error: ProblemError, batch: Batch) -> ProblemError:
    """Return the error, with the index of its image if the batch is that single image."""
    return error_of(error.problem, batch.start) if len(batch) == 1 and error.code in ONE_OF_THEM else error


def pieces(z: FloatArray) -> Iterator[FloatArray]:
    """Split latent vectors (n, d) into requests."""
    for first in range(0, len(z), MOST_LATENTS):
        yield z[first : first + MOST_LATENTS]


def one_source(z: object, sample: int | None, seed: int | None) -> None:
    """Check the arguments of `generate`.

    Raises:
        InvalidInput: not exactly one of z and sample is given, seed is given without sample, or one of them is invalid.
    """
    if (z is None) == (sample is None):
        raise InvalidInput("Give exactly one of z and sample.")
    if seed is not None and sample is None:
        raise InvalidInput("seed goes with sample.")
    if sample is not None and not (_is_integer(sample) and sample >= 1):
        raise InvalidInput("sample is how many digits to draw, at least 1.")
    if seed is not None and not (_is_integer(seed) and seed >= 0):
        raise InvalidInput("seed is an integer, not negative.")


def _is_integer(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
