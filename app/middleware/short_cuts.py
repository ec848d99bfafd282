"""The busiest requests in their plain form, answered without the framework around a route.

A single digit costs less than FastAPI's layers do. What is read, how it is checked and what is answered is the same as
on the long way, by the same functions; anything unusual (parameters, another type, a body without a length) takes the
long way, through routes/inference.py, and so does the OpenAPI document.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from pydantic_core import to_json
from starlette.types import Receive, Scope, Send

from app.api import problems
from app.api.formats import npy
from app.api.formats.latents import latents_from_json, latents_from_npy
from app.api.requests import disconnect_check
from app.api.responses import SENT_HEADERS, SHOWN_HEADERS
from app.errors import CallerLeft, DigitVaeError, EmptyBody
from app.inference.service import Service
from app.middleware.body_clock import BodyClock
from app.models.loaded_model import LoadedModel

MAX_BODY_BYTES = 65536  # more is long on its way in any case
GENERATE_HEADERS = {b"content-type": (b"application/json",), b"accept": (b"*/*", b"image/png")}
ARRAY_HEADERS = {b"content-type": (npy.MEDIA_TYPE.encode(),), b"accept": (npy.MEDIA_TYPE.encode(),)}
ENCODE_HEADERS = {b"content-type": (b"image/png",), b"accept": (b"*/*", b"application/json")}
REQUIRED = (b"content-type", b"content-length")
UNUSUAL = (b"transfer-encoding", b"expect")

Answer = tuple[bytes, bytes]  # content and its type
Work = Callable[[Service, LoadedModel, bytes, Callable[[], bool]], Awaitable[Answer]]


async def generate(scope: Scope, receive: Receive, send: Send) -> int | None:
    """POST /generate with JSON for a PNG, or with npy for npy; see admission.ShortCut."""
    if is_plain(scope, GENERATE_HEADERS):
        return await _answered(scope, receive, send, digit)
    if is_plain(scope, ARRAY_HEADERS, (*REQUIRED, b"accept")):
        return await _answered(scope, receive, send, _array)
    return None


async def encode(scope: Scope, receive: Receive, send: Send) -> int | None:
    """POST /encode with a PNG, for JSON; see admission.ShortCut."""
    return await _answered(scope, receive, send, posterior) if is_plain(scope, ENCODE_HEADERS) else None


async def manifold(scope: Scope, receive: Receive, send: Send) -> int | None:
    """GET /manifold.png as it was answered before; see admission.ShortCut."""
    model: LoadedModel = scope["model"]
    kept = model.answers.get(scope["query_string"])
    if kept is None or not all(_asks_nothing(name, value) for name, value in scope["headers"]):
        return None
    await send({"type": "http.response.start", "status": 200, "headers": [*kept[0], *SHOWN_HEADERS]})
    await send({"type": "http.response.body", "body": kept[1]})
    return 200


def _asks_nothing(name: bytes, value: bytes) -> bool:
    return name != b"if-none-match" and (name != b"accept" or value in (b"*/*", b"image/png"))


SHORT_CUTS = {("POST", "/generate"): generate, ("POST", "/encode"): encode, ("GET", "/manifold.png"): manifold}


async def digit(service: Service, model: LoadedModel, body: bytes, gone: Callable[[], bool]) -> Answer:
    """JSON with a z to a PNG."""
    z = latents_from_json(body, model.engine.latent_dim, service.settings.max_rows)
    return await service.render_png(await service.generate(model, z, gone), None, 1), b"image/png"


async def _array(service: Service, model: LoadedModel, body: bytes, gone: Callable[[], bool]) -> Answer:
    z = latents_from_npy(body, model.engine.latent_dim)
    return npy.dumps(await service.generate(model, z, gone)), npy.MEDIA_TYPE.encode()


async def posterior(service: Service, model: LoadedModel, body: bytes, gone: Callable[[], bool]) -> Answer:
    """Encode a picture and serialize its posterior as JSON."""
    z_mean, z_log_var = await service.encode(model, [body], "auto", "auto", gone)
    document = {"model_version": model.version, "z_mean": z_mean.tolist(), "z_log_var": z_log_var.tolist()}
    return to_json(document), b"application/json"


def is_plain(scope: Scope, taken: Mapping[bytes, tuple[bytes, ...]], required: tuple[bytes, ...] = REQUIRED) -> bool:
    """Whether there is a short body, announced as such, of the usual type, for the usual answer, and no query."""
    service: Service = scope["service"]
    longest = min(MAX_BODY_BYTES, service.settings.max_body_bytes)
    if scope["query_string"]:
        return False
    found = dict.fromkeys(required, False)
    for name, value in scope["headers"]:
        if name in taken:
            if value not in taken[name]:
                return False
            found[name] = True
        elif name == b"content-length":
            found[name] = value.isdigit() and int(value) <= longest
        elif name in UNUSUAL:
            return False
    return all(found.values())


async def _answered(scope: Scope, receive: Receive, send: Send, work: Work) -> int:
    model: LoadedModel = scope["model"]
    try:
        service: Service = scope["service"]
        body = await _read(BodyClock(receive, service.settings.body_timeout_s))
        content, kind = await work(service, model, body, disconnect_check(receive))
    except DigitVaeError as error:
        response = problems.error_response("POST", scope["path"], error)
        await response(scope, receive, send)
        return response.status_code
    headers = [
        (b"x-model-version", b"%d" % model.version),
        (b"content-length", b"%d" % len(content)),
        (b"content-type", kind),
        *SENT_HEADERS,
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})
    return 200


async def _read(clock: BodyClock) -> bytes:
    """Read the whole body.

    Raises:
        EmptyBody: there is nothing in it.
        CallerLeft: it broke off.
        BodyTimeout: it did not come in time.
    """
    body, more = b"", True
    while more:
        message = await clock
        if message["type"] == "http.disconnect":
            raise CallerLeft("The caller hung up in the middle of the body.")
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if not body:
        raise EmptyBody("The body is empty. /docs shows what this route reads.")
    return body
