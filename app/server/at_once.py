"""The busiest requests once more, for a server that asks before it makes a task of a request; see express.py.

While nothing else is under way, the coroutine that short_cuts.py would await runs from its beginning to its end
without a pause. So it is stepped through here and now, and what it returns is the answer.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Coroutine, Mapping
from typing import Any, cast

from starlette.types import Scope

from app.api.responses import SENT_HEADERS
from app.imaging.png import is_minimal_png
from app.inference.service import Service
from app.middleware.admission import AdmissionLimit
from app.middleware.short_cuts import ENCODE_HEADERS, GENERATE_HEADERS, Answer, Work, digit, is_plain, posterior
from app.server.express import Reply
from app.telemetry.request_id import HEADER as REQUEST_ID

Plain = tuple[Mapping[bytes, tuple[bytes, ...]], Work]

PLAIN: dict[bytes, Plain] = {b"/generate": (GENERATE_HEADERS, digit), b"/encode": (ENCODE_HEADERS, posterior)}
MAX_BODY_BYTES = 4096  # bytes: what is longer is seldom a single digit
SECURITY_FIELDS = b"".join(b"%b: %b\r\n" % field for field in SENT_HEADERS)


class AtOnce:
    """What an application offers as `express`.

    Args:
        edge: counts and admits.
    """

    def __init__(self, edge: AdmissionLimit) -> None:
        self.service: Service | None = None  # there is one from the start of the application's lifespan
        self._edge = edge

    def takes(self, target: bytes) -> bool:
        """See express.Express."""
        service = self.service
        return service is not None and target in PLAIN and (service.can_run_inline() or not self._edge.has_room())

    def answer(self, scope: Scope, body: bytes) -> Reply | None:
        """See express.Express."""
        path: str = scope["path"]
        if not self._edge.has_room():
            return self._refusal(path, self._edge.ids.of(scope))
        service = self.service
        if service is None or not service.can_run_inline():
            return None
        headers, work = PLAIN[path.encode()]
        scope["service"] = service
        if scope["method"] != "POST" or len(body) > MAX_BODY_BYTES or not is_plain(scope, headers):
            return None
        started = time.perf_counter()
        model = service.model
        if work is posterior and not is_minimal_png(body, model.engine.image_shape):
            return None  # is read in a thread
        found = _finished(work(service, model, body, _never))
        if found is None:
            return None
        fields = b"x-model-version: %d\r\ncontent-length: %d\r\ncontent-type: %b\r\n%bx-request-id: %b\r\n" % (
            model.version, len(found[0]), found[1], SECURITY_FIELDS, self._edge.ids.of(scope),
        )  # fmt: skip
        self._edge.metrics.request(path, 200, time.perf_counter() - started)
        return 200, fields, found[0]

    def _refusal(self, path: str, request_id: bytes) -> Reply:
        start, body = self._edge.refused(path, request_id)
        headers = (*start["headers"], (REQUEST_ID, request_id))
        return start["status"], b"".join([b"%b: %b\r\n" % field for field in headers]), body["body"]


def _finished(work: Awaitable[Answer]) -> Answer | None:
    """Step a coroutine to its end and return its result; None if it pauses or fails."""
    steps = cast(Coroutine[Any, Any, Answer], work)
    try:
        steps.send(None)
    except StopIteration as told:
        return cast(Answer, told.value)
    except Exception:
        return None
    finally:
        steps.close()
    return None


def _never() -> bool:
    """Whether the caller has hung up: nobody can have noticed."""
    return False
