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

from __future__ import annotations

from dataclasses import dataclass


class ClientError(Exception):
    """The root: whatever the client raises on purpose."""


class InvalidInput(ClientError, ValueError):
    """What was given cannot be sent."""


class ConnectionFailed(ClientError):
    """No answer came, however often it was tried."""


class TimedOut(ConnectionFailed):
    """No answer came within the timeout."""


class NotReady(ClientError):
    """The service did not become ready in time."""


class BadAnswer(ClientError):
    """The answer is not one that this service gives: perhaps something else listens at the address."""


class VersionChanged(ClientError):
    """Parts of one call were answered by different versions of the model, whose results cannot stand side by side."""


@dataclass(frozen=True)
class Problem:
    """A problem document (RFC 9457), as the service sends it."""

    status: int
    code: str  # stable, for programs
    title: str
    detail: str  # for people: what was wrong and what would be right
    type: str
    request_id: str | None = None  # to be named to whoever reads the service's log


class ProblemError(ClientError):
    """The service answered with an error.

    Attributes:
        problem: the whole document; its status, code, title and detail are attributes here too.
        index: the place of the offending image among those given, if the refusal is of a single one.
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
    """The request cannot be answered as it stands; the caller can mend it."""


class Unavailable(ProblemError):
    """The service cannot answer now, and could not each time it was asked again."""


class Fault(ProblemError):
    """The service failed on a request that may be in order."""


def error_of(problem: Problem, index: int | None = None) -> ProblemError:
    """Return the error for a problem document, by its status."""
    if problem.status in (429, 503):
        return Unavailable(problem, index)
    return (Refused if problem.status < 500 else Fault)(problem, index)
