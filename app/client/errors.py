"""What a call of the client may raise, one tree.

ClientError
├── InvalidInput          (also a ValueError) what was given is no image or no z; nothing was sent
├── ConnectionFailed      no answer came: nobody listens, or the connection broke
│   └── TimedOut          no answer came in time
├── NotReady              the service did not become ready within the time given to wait_ready
├── BadAnswer             an answer that the service's contract does not know
├── VersionChanged        the service changed its model while it answered the parts of one call
└── ProblemError          the service answered with an error; carries the problem document
    ├── Refused           4xx: the request must change
    ├── Unavailable       429, 503: the same request may succeed later; it was tried as often as Retries allows
    └── Fault             5xx: the service failed; its log has the reason
"""

from dataclasses import dataclass


class ClientError(Exception):
    """The base class of the client's errors."""


class InvalidInput(ClientError, ValueError):
    """An argument cannot be sent; nothing was sent."""


class ConnectionFailed(ClientError):
    """No answer came: the address cannot be reached, or the connection broke."""


class TimedOut(ConnectionFailed):
    """No answer came within the timeout."""


class NotReady(ClientError):
    """The service did not become ready in time."""


class BadAnswer(ClientError):
    """The answer does not fit the service's contract: perhaps another server listens at the address."""


class VersionChanged(ClientError):
    """Different versions of the model answered the parts of one call; their results cannot be combined."""


@dataclass(frozen=True)
class Problem:
    """A problem document (RFC 9457) of the service."""

    status: int
    code: str  # stable, for programs
    title: str
    detail: str  # for people: what was wrong and what would be right
    type: str
    request_id: str | None = None  # to be named to whoever reads the service's log


class ProblemError(ClientError):
    """The service answered with an error.

    Attributes:
        problem: the problem document; its status, code, title and detail are attributes of the error too.
        index: the index of the refused image among those given; None if the error is not about a single image.
    """

    def __init__(self, problem: Problem, index: int | None = None) -> None:
        where = "" if index is None else f"image {index}: "
        super().__init__(f"{where}{problem.detail} ({problem.status} {problem.code})")
        self.problem = problem
        self.status = problem.status
        self.code = problem.code
        self.title = problem.title
        self.detail = problem.detail
        self.index = index


class Refused(ProblemError):
    """The service refused the request (4xx); the caller must change it."""


class Unavailable(ProblemError):
    """The service could not answer, even after all retries."""


class Fault(ProblemError):
    """The service failed on a request that may be valid."""


def error_of(problem: Problem, index: int | None = None) -> ProblemError:
    """Return the error for a problem document, by its status."""
    if problem.status in (429, 503):
        return Unavailable(problem, index)
    return (Refused if problem.status < 500 else Fault)(problem, index)
