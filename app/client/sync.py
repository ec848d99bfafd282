"""`Client`: sends, waits and retries in the calling thread; sends long lists from several threads."""

import itertools
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from app.client import answers, calls, plan
from app.client.calls import Call, Fit, Invert
from app.client.errors import BadAnswer, Refused
from app.client.inputs import Batch, Images, Sending, batches, count, latents
from app.client.progress import Progress, showing
from app.client.results import (
    Drawing,
    Encoding,
    Generated,
    Reconstruction,
    joined_digits,
    joined_encodings,
    joined_reconstructions,
)
from app.client.retries import Attempts, Retries
from app.client.threads import in_order

R = TypeVar("R")


class Client:
    """A client of a running service. Keeps connections open: close it, or use it in a `with`. Threads may share one.

    Args:
        url: the service's address, including the path prefix of a proxy.
        api_key: the key for a service that needs one; by default the environment variable VAE_API_KEY.
        timeout_s: timeout in seconds for connecting, for sending, and for the next bytes of a response.
        retries: policy for a service that is busy or cannot be reached; see Retries.
        sending: how long lists are cut and sent; see Sending.
        headers: further headers of every request, for instance for a proxy.
        transport: an httpx transport to use in place of the network.

    Raises:
        InvalidInput: `url` is not an HTTP address, or `api_key` is not a valid key.

    Every call may raise ConnectionFailed, ProblemError and BadAnswer; a call of several requests may raise
    VersionChanged. See app/client/errors.py.
    """

    def __init__(  # noqa: PLR0913 - what a caller may set, each by its name
        self,
        url: str = plan.DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout_s: float = plan.TIMEOUT_S,
        retries: Retries | None = None,
        sending: Sending | None = None,
        headers: dict[str, str] | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = url
        self._retries = retries or Retries()
        self._sending = sending or Sending()
        self._http = httpx.Client(**plan.options(url, headers, api_key, timeout_s), transport=transport)

    def encode(
        self, images: Images, *, invert: Invert = "auto", fit: Fit = "auto", progress: Progress = False
    ) -> Encoding:
        """Compute the posterior of each image, in order.

        Args:
            images: a path, the bytes of a picture file, a PIL image, an array (h, w) or (n, h, w) of uint8 0 .. 255
                or float 0 .. 1, or an iterable of these. Only pictures are preprocessed by the service; arrays
                are expected light on dark, unless `invert` is "true".
            invert: whether to invert dark-on-light pictures; "auto" decides by the border.
            fit: whether to crop and centre the digit; "auto" does so unless the picture has the model's size.
            progress: True draws a bar on a terminal; a function is called with (done, total or None).

        Raises:
            InvalidInput: an argument is not an image.
            Refused: the service refuses an image; `index` is its index in `images`.
        """
        parts = self._over(images, lambda b: calls.encode(b, invert, fit), answers.encoding, ("encoding", progress))
        return joined_encodings(parts)

    def reconstruct(
        self, images: Images, *, invert: Invert = "auto", fit: Fit = "auto", progress: Progress = False
    ) -> Reconstruction:
        """Reconstruct every image, and compute its loss in nats. Takes the arguments of `encode`."""
        parts = self._over(
            images, lambda b: calls.reconstruct(b, invert, fit), answers.reconstruction, ("reconstructing", progress)
        )
        return joined_reconstructions(parts)

    def generate(
        self, z: Any = None, *, sample: int | None = None, seed: int | None = None, progress: Progress = False
    ) -> Generated:
        """Decode points of the latent space, or samples from the prior, to digits.

        Args:
            z: one latent vector (d,) or several (n, d); a list or an array.
            sample: the number of samples to draw, in place of z.
            seed: the seed of the samples; equal seeds give equal samples.
            progress: as for `encode`.

        Raises:
            InvalidInput: neither or both of z and sample are given, or z is not made of finite numbers.
            Refused: the model's latent vectors have another length, or too many samples were asked for.
        """
        plan.one_source(z, sample, seed)
        if sample is not None:
            return answers.sampled(self._ask(calls.sample(sample, seed)), sample)
        points = latents(z)
        with showing(progress, "generating", len(points)) as more:
            return joined_digits(
                in_order(
                    lambda piece: answers.generated(self._ask(calls.generate(piece)), piece),
                    plan.pieces(points),
                    self._sending.in_flight,
                    more,
                )
            )

    def manifold(
        self, n: int = 15, *, scale: int = 1, low: float = 0.05, high: float = 0.95, dims: tuple[int, int] = (0, 1)
    ) -> Drawing:
        """Draw n x n digits over a square of the latent plane, from quantile `low` to `high` of N(0, 1)."""
        return answers.drawing(self._ask(calls.manifold(n, scale, low, high, dims)))

    def model(self) -> dict[str, Any]:
        """Return the manifest of the served version: `version`, `latent_dim`, `image_shape`, `measures` and more."""
        return answers.manifest(self._ask(calls.model()))

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Return as soon as the service is ready.

        Raises:
            NotReady: the service is not ready within `timeout_s`, give or take a quarter of a second.
        """
        clock = self._retries.clock
        deadline = clock.now() + timeout_s
        while True:
            outcome = self._once(calls.ready(), plan.probe_s(deadline - clock.now()))
            if plan.is_ready(outcome):
                return
            if clock.now() + plan.READY_WAIT_S > deadline:
                raise plan.not_ready(outcome, self.url, timeout_s)
            clock.wait(plan.READY_WAIT_S)

    def close(self) -> None:
        """Close the connections; the client cannot be used afterwards."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _over(
        self,
        images: Images,
        call: Callable[[Batch], Call],
        read: Callable[[httpx.Response, int], R],
        shown: tuple[str, Progress],
    ) -> list[R]:
        """Return the results for all images, in order: one per batch, or several for a batch that was halved."""
        what, progress = shown
        with showing(progress, what, count(images) if progress else None) as more:
            found = in_order(
                lambda batch: self._of_batch(batch, call, read),
                batches(images, self._sending),
                self._sending.in_flight,
                more,
            )
        return list(itertools.chain.from_iterable(found))

    def _of_batch(
        self, batch: Batch, call: Callable[[Batch], Call], read: Callable[[httpx.Response, int], R]
    ) -> list[R]:
        try:
            return [read(self._ask(call(batch)), len(batch))]
        except Refused as error:
            if not plan.may_be_halved(error, batch):
                raise plan.placed(error, batch) from None
        first, second = batch.halves()
        return self._of_batch(first, call, read) + self._of_batch(second, call, read)

    def _ask(self, call: Call) -> httpx.Response:
        attempts = Attempts(self._retries)
        while True:
            outcome = self._once(call)
            seconds = attempts.wait(outcome)
            if seconds is None:
                return plan.judged(outcome, self.url)
            self._retries.clock.wait(seconds)

    def _once(self, call: Call, timeout_s: float | None = None) -> httpx.Response | httpx.TransportError:
        try:
            return self._http.request(**plan.arguments(call, timeout_s))
        except httpx.TransportError as error:
            return error
        except httpx.DecodingError as exc:
            raise BadAnswer(f"The answer of {self.url} cannot be decoded: {exc}") from exc
