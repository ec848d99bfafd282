"""The exceptions of this project, one tree. Status and code sit on the class; nothing here knows HTTP frameworks.

DigitVaeError                      500 internal-error
├── RequestError                   400 bad-request             the caller can do something about it
│   ├── EmptyBody                  400 empty-body
│   ├── MalformedBody              400 malformed-body          JSON, npy or multipart that does not parse
│   ├── Unauthorized               401 unauthorized            no key, or none of this service's
│   ├── MalformedRequest           400 malformed-request       not HTTP, or not as far as it came
│   ├── NotFound                   404 not-found
│   ├── MethodNotAllowed           405 method-not-allowed
│   ├── NotAcceptable              406 not-acceptable
│   ├── TooSlow                    408 too-slow                what was announced does not come
│   │   ├── HeaderTimeout          408 header-timeout
│   │   └── BodyTimeout            408 body-timeout
│   ├── BodyTooLarge               413 body-too-large
│   │   └── JsonTooLarge           413 json-too-large          too many values, however few bytes
│   ├── ImageTooLarge              413 image-too-large         too many pixels, whatever the bytes
│   ├── UnsupportedMediaType       415 unsupported-media-type
│   ├── InvalidImage               422 invalid-image           bytes that are no picture, or no digit in it
│   ├── InvalidLatent              422 invalid-latent          a z that the generator cannot take
│   ├── InvalidParameter           422 invalid-parameter       a field or query parameter out of range
│   ├── AnswerTooLarge             422 answer-too-large        what was asked for is more than is sent
│   ├── RateLimited                429 rate-limited            more requests than one caller may send
│   ├── HeadersTooLarge            431 headers-too-large       too many header fields, or too long
│   ├── UnsupportedCoding          501 unsupported-coding      a transfer coding other than chunked
│   ├── UnsupportedVersion         505 unsupported-version     HTTP other than 1.1 and 1.0
│   └── CallerLeft                 499 caller-left             hung up before its turn; seen in metrics only
├── Unavailable                    503 unavailable             try again later
│   ├── Overloaded                 503 overloaded              the queue is full
│   ├── TooManyConnections         503 too-many-connections
│   ├── DeadlineExceeded           503 deadline-exceeded       the request waited longer than it may
│   ├── ModelFailing               503 model-failing           it fails on all, or hangs: a new process is needed
│   └── ShuttingDown               503 shutting-down
├── StoreError                     500 store-error             the model store cannot be used
│   ├── NoSuchVersion              500 no-such-version
│   └── CorruptVersion             500 corrupt-version         a file differs from its manifest
├── EngineError                    500 engine-error            the model failed on a valid batch
├── MissingTensorFlow              500 missing-tensorflow      neither of the extras that bring it is installed
└── TrainingError                  500 training-error          see training/errors.py

A detail is a sentence for the person who reads it: what was wrong and what would be right. It never holds a
file system path, since it may leave the process; StoreError is raised before the service answers anybody.
"""

import importlib.util
import re
from collections.abc import Mapping
from typing import ClassVar


class DigitVaeError(Exception):
    """The root: whatever this project raises on purpose.

    Args:
        detail: the sentence for the person who reads it.
        headers: header fields of the response, besides those that its class always has.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "Internal error"
    fixed_headers: ClassVar[Mapping[str, str]] = {}  # of every response for it

    def __init__(self, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = {**self.fixed_headers, **(headers or {})}

    def __init_subclass__(cls) -> None:
        """Make a code of the class's name and a title of the code, unless the class has its own."""
        super().__init_subclass__()
        if "code" not in vars(cls):
            cls.code = re.sub("(?<=[a-z])(?=[A-Z])", "-", cls.__name__).lower()
        if "title" not in vars(cls):
            cls.title = cls.code.replace("-", " ").capitalize()


class RequestError(DigitVaeError):
    """The request cannot be answered as it stands; the caller can mend it."""

    status = 400
    code = "bad-request"


class EmptyBody(RequestError):
    """A body was needed and none came."""


class MalformedBody(RequestError):
    """The body is not what its content type says."""


class Unauthorized(RequestError):
    """The service wants a key, and none came that it knows."""

    status = 401


class MalformedRequest(RequestError):
    """The bytes are no request in HTTP."""


class UnsupportedCoding(RequestError):
    """The body comes in a transfer coding that is not read (RFC 9112, 6.1)."""

    status = 501


class UnsupportedVersion(RequestError):
    """The request is in another version of HTTP than is spoken here (RFC 9110, 15.6.6)."""

    status = 505


class NotFound(RequestError):
    """Nothing lives at this address."""

    status = 404


class MethodNotAllowed(RequestError):
    """The address exists, the method does not."""

    status = 405


class NotAcceptable(RequestError):
    """None of the representations on offer satisfies Accept (RFC 9110, 12.5.1)."""

    status = 406


class TooSlow(RequestError):
    """What was announced does not come; the connection is closed (RFC 9110, 15.5.9)."""

    status = 408
    # The rest of the body would be taken for a request.
    fixed_headers: ClassVar[Mapping[str, str]] = {"connection": "close"}


class HeaderTimeout(TooSlow):
    """A request began, and its head did not end in time."""


class BodyTimeout(TooSlow):
    """The head is there, and the body did not come in time."""


class BodyTooLarge(RequestError):
    """More bytes than the service reads."""

    status = 413


class JsonTooLarge(BodyTooLarge):
    """More values than are parsed while other requests wait, however few bytes they take."""

    title = "JSON too large"


class ImageTooLarge(RequestError):
    """More pixels than the service decodes, however few bytes they take."""

    status = 413


class UnsupportedMediaType(RequestError):
    """A content type this route does not read."""

    status = 415


class InvalidImage(RequestError):
    """Bytes that are no picture, a damaged one, or one without a digit in it."""

    status = 422


class InvalidLatent(RequestError):
    """A z of the wrong length, not finite, or too many of them."""

    status = 422
    title = "Invalid latent vector"


class InvalidParameter(RequestError):
    """A field or query parameter that is missing, unknown or out of range."""

    status = 422


class RateLimited(RequestError):
    """The caller sent more requests than one caller may; the same request may succeed later."""

    status = 429


class AnswerTooLarge(RequestError):
    """What was asked for is more than the service sends at once."""

    status = 422


class HeadersTooLarge(RequestError):
    """The request's line and header fields are too long, or too many (RFC 6585, 5)."""

    status = 431


class CallerLeft(RequestError):
    """The caller hung up before the model got to its request; the status is nginx's, and seen in metrics only."""

    status = 499


class Unavailable(DigitVaeError):
    """The service cannot answer now; the same request may succeed later."""

    status = 503
    fixed_headers: ClassVar[Mapping[str, str]] = {"retry-after": "1"}


class Overloaded(Unavailable):
    """The queue for the model is full."""


class TooManyConnections(Unavailable):
    """As many connections are open as may be."""


class DeadlineExceeded(Unavailable):
    """The request was not answered within its time."""


class ModelFailing(Unavailable):
    """The model fails on every call, or a call does not return; another instance, or a new process, may answer."""


class ShuttingDown(Unavailable):
    """The service is stopping."""


class StoreError(DigitVaeError):
    """The model store is missing, unreadable or inconsistent."""

    title = "Model store error"


class NoSuchVersion(StoreError):
    """The store holds no such version, or none at all."""


class CorruptVersion(StoreError):
    """A file of a version is missing, a link, or differs from its manifest."""


class EngineError(DigitVaeError):
    """The model failed, or returned something else than was asked for."""


class MissingTensorFlow(DigitVaeError):
    """TensorFlow is not installed: it comes with an extra, since hosts with a GPU and without want different builds."""

    code = "missing-tensorflow"
    title = "TensorFlow is missing"

    def __init__(self) -> None:
        super().__init__(
            "TensorFlow is not installed. Install digit-vae with an extra: [gpu] on a host with an NVIDIA GPU, [cpu] "
            "on any other. scripts/serve and scripts/train do so in .venv."
        )


def require_tensorflow() -> None:
    """Return if TensorFlow can be imported, without importing it.

    Raises:
        MissingTensorFlow: it is not installed.
    """
    if importlib.util.find_spec("tensorflow") is None:
        raise MissingTensorFlow
