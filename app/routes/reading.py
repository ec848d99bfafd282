"""Requests to the service's terms: query strings, and bodies by their content type."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
from fastapi import Request
from pydantic import BaseModel, ValidationError
from python_multipart.multipart import parse_options_header
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from app import json_bounds, npy
from app.errors import (
    BodyTooLarge,
    EmptyBody,
    InvalidImage,
    InvalidLatent,
    InvalidParameter,
    MalformedBody,
    UnsupportedMediaType,
)
from app.imaging.decode import MEDIA_TYPES, from_base64
from app.imaging.types import FloatArray
from app.models.loaded_model import LoadedModel
from app.schemas import EncodeRequest, GenerateRequest, rejection
from app.service import Service
from app.sources import Source

M = TypeVar("M", bound=BaseModel)

JSON = "application/json"
MULTIPART = "multipart/form-data"
IMAGE_TYPES = (*MEDIA_TYPES, MULTIPART, JSON, npy.MEDIA_TYPE)
LATENT_TYPES = (JSON, npy.MEDIA_TYPE)


def service_of(request: Request) -> Service:
    """The service of this application."""
    service: Service = request.app.state.service
    return service


def served(request: Request) -> LoadedModel:
    """The version that this request began on; another may be served to those that came later."""
    model: LoadedModel = request.scope["model"]
    return model


def hung_up(receive: Receive) -> Callable[[], bool]:
    """A question: has the caller of a request whose body is read already hung up?

    ASGI tells by a message that `receive` would wait for. Here it is made to take its first step and then closed, so
    that asking costs two microseconds and no task.
    """

    def gone() -> bool:
        step = cast(Coroutine[Any, Any, Message], receive())
        try:
            step.send(None)
        except StopIteration as told:
            return bool(told.value["type"] == "http.disconnect")
        finally:
            step.close()
        return False

    return gone


def query(request: Request, model: type[M]) -> M:
    """The query string as `model`.

    Raises:
        InvalidParameter: a parameter is unknown or out of range.
    """
    try:
        return model.model_validate(dict(request.query_params))
    except ValidationError as exc:
        known = ", ".join(model.model_fields) or "none"
        raise InvalidParameter(f"{rejection(exc.errors())}. Parameters: {known}.") from exc


async def sources(request: Request, max_images: int) -> list[Source]:
    """The images of a body of any type that encoding reads, in order.

    Raises:
        UnsupportedMediaType, EmptyBody, MalformedBody, InvalidImage, InvalidParameter: each with its sentence.
    """
    kind = _content_type(request)
    if kind not in IMAGE_TYPES:
        raise _unsupported(kind, IMAGE_TYPES)
    if kind == MULTIPART:
        found = await _image_parts(request, max_images)
    elif kind == JSON:
        found = _json_images(await _json(request))
    elif kind == npy.MEDIA_TYPE:
        found = [images_from_npy(await _body(request))]
    else:
        found = [await _body(request)]
    if len(found) > max_images:
        raise InvalidImage(f"There are {len(found)} pictures; at most {max_images} are taken in one request.")
    return found


async def latents(request: Request, latent_dim: int, max_rows: int) -> FloatArray:
    """The latent vectors that a body gives or asks to draw; float32 (n, d).

    Raises:
        UnsupportedMediaType, EmptyBody, MalformedBody, InvalidLatent, InvalidParameter: each with its sentence.
    """
    kind = _content_type(request)
    if kind not in LATENT_TYPES:
        raise _unsupported(kind, LATENT_TYPES)
    if kind == npy.MEDIA_TYPE:
        return latents_from_npy(await _body(request), latent_dim)
    return latents_from_json(await _json(request), latent_dim, max_rows)


def latents_from_json(body: bytes, latent_dim: int, max_rows: int) -> FloatArray:
    """A JSON body as latent vectors, float32 (n, d).

    Raises:
        MalformedBody, InvalidLatent, InvalidParameter: each with its sentence.
    """
    try:
        wanted = GenerateRequest.model_validate_json(body)
    except ValidationError as exc:
        raise _refused(exc, f"z must be {latent_dim} finite numbers, or a list of such lists") from exc
    if wanted.sample is not None:
        if wanted.sample > max_rows:
            raise InvalidParameter(f"sample is {wanted.sample}; at most {max_rows} are drawn in one request.")
        return draw(wanted.sample, latent_dim, wanted.seed)
    return _latent_array(wanted.z or [], latent_dim, max_rows)


def draw(n: int, latent_dim: int, seed: int | None) -> FloatArray:
    """N draws from the prior N(0, I), float32 (n, d); equal seeds give equal draws."""
    return np.random.default_rng(seed).standard_normal((n, latent_dim), np.float32)


def _latent_array(z: list[Any], latent_dim: int, max_rows: int) -> FloatArray:
    rows = z if z and isinstance(z[0], list) else [z]
    if len(rows) > max_rows:
        raise InvalidLatent(f"There are {len(rows)} latent vectors; at most {max_rows} are taken.")
    for i, row in enumerate(rows):
        if len(row) != latent_dim:
            where = f"z[{i}]" if rows is z else "z"
            raise InvalidLatent(f"{where} has {len(row)} numbers; this model's latent vectors have {latent_dim}.")
    return np.asarray(rows, np.float32)


def latents_from_npy(body: bytes, latent_dim: int) -> FloatArray:
    """An npy body as latent vectors, float32 (n, d)."""
    return latents_from_array(npy.loads(body), latent_dim)


def latents_from_array(array: npt.NDArray[Any], latent_dim: int) -> FloatArray:
    """Any array as latent vectors, float32 (n, d).

    Raises:
        InvalidLatent: it is not numbers, not of the shape (n, d), or a number is out of range.
    """
    if array.dtype.kind not in "fiu":
        raise InvalidLatent(f"z must be an array of numbers; got {array.dtype}.")
    if array.ndim != 2 or array.shape[1] != latent_dim:
        raise InvalidLatent(f"z must have the shape (n, {latent_dim}); got {array.shape}.")
    with np.errstate(invalid="ignore", over="ignore"):  # NumPy warns of some bits that are no number
        small = np.abs(array.astype(np.float64)) <= 1e6  # float16 has no million
    if not small.all():
        raise InvalidLatent("z must be finite, and no coordinate beyond a million.")
    return array.astype(np.float32)


def images_from_npy(body: bytes) -> FloatArray:
    """An npy body as images in [0, 1], float32 (n, h, w): uint8 is divided by 255, floats are taken as they are."""
    return images_from_array(npy.loads(body))


def images_from_array(array: npt.NDArray[Any]) -> FloatArray:
    """Any array as images in [0, 1], float32 (n, h, w); see `images_from_npy`.

    Raises:
        InvalidImage: it has another shape or type, or a number is out of range.
    """
    if array.ndim == 2:
        array = array[np.newaxis]
    if array.ndim != 3:
        raise InvalidImage(f"An array of images has the shape (n, height, width); got {array.shape}.")
    if array.dtype == np.uint8:
        return array.astype(np.float32) / np.float32(255)
    if array.dtype.kind != "f":
        raise InvalidImage(f"An array of images is uint8 (0 .. 255) or float (0 .. 1); got {array.dtype}.")
    return _unit_interval(array)


def _unit_interval(array: npt.NDArray[Any]) -> FloatArray:
    with np.errstate(invalid="ignore"):
        inside = (array >= 0) & (array <= 1)  # NaN is neither
    if not inside.all():
        raise InvalidImage("Float images have values in 0 .. 1; for 0 .. 255 send uint8.")
    return array.astype(np.float32)


def _json_images(body: bytes) -> list[Source]:
    try:
        wanted = EncodeRequest.model_validate_json(body)
    except ValidationError as exc:
        raise _refused(exc, "send base64 pictures, or rows of numbers") from exc
    return [from_base64(item) if isinstance(item, str) else _from_rows(item) for item in wanted.images]


def _from_rows(rows: list[list[float]]) -> FloatArray:
    if len({len(row) for row in rows}) != 1:
        raise InvalidImage("The rows of an image must all have the same length.")
    image = np.asarray([rows], np.float32)
    return image / np.float32(255) if image.max(initial=0) > 1 else image


async def _image_parts(request: Request, max_images: int) -> list[Source]:
    _, told = parse_options_header(request.headers["content-type"])
    boundary = told.get(b"boundary")
    # A form whose end is missing would be taken for one with fewer parts.
    if boundary and b"--%b--" % boundary not in await _body(request):
        raise MalformedBody("The multipart body was cut short: its closing boundary is missing.")
    try:
        async with request.form(max_files=max_images, max_fields=8) as form:
            others = sorted({name for name in form if name != "image"})
            if others:
                raise InvalidParameter(f"Unknown form fields: {', '.join(others)}. Name each picture 'image'.")
            parts = form.getlist("image")
            texts = [part for part in parts if isinstance(part, str)]
            files = [await part.read() for part in parts if not isinstance(part, str)]
    except HTTPException as exc:  # Starlette's own form of a multipart error
        if exc.detail.startswith("Too many files"):
            raise InvalidImage(f"There are more than the {max_images} pictures that one request may have.") from exc
        raise MalformedBody(f"The multipart body does not parse: {exc.detail}") from exc
    if texts:
        raise InvalidImage("The part 'image' is text, not a file. With curl: -F image=@digit.png")
    if not files:
        raise EmptyBody("The form has no part named 'image'. With curl: -F image=@digit.png")
    return list(files)


async def _body(request: Request) -> bytes:
    body = await request.body()
    if not body:
        raise EmptyBody("The body is empty. /docs shows what this route reads.")
    return body


async def _json(request: Request) -> bytes:
    return json_bounds.within(await _body(request), service_of(request).settings.max_json_values)


async def plain_body(request: Request, max_bytes: int) -> bytes:
    """The body without its Content-Encoding: gzip and deflate are taken off, as model servers do.

    Raises:
        EmptyBody: there is none.
        BodyTooLarge: it would unpack to more than `max_bytes`.
        MalformedBody: it is not what its Content-Encoding says, or that is another one.
    """
    body = await _body(request)
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding == "identity":
        return body
    if encoding not in ("gzip", "deflate"):
        raise MalformedBody(f"The content encoding {encoding[:40]!r} is not read here; send gzip, deflate or none.")
    unpacking = zlib.decompressobj(zlib.MAX_WBITS | 32)  # tells the two apart itself
    try:
        plain = unpacking.decompress(body, max_bytes + 1)
    except zlib.error as exc:
        raise MalformedBody(f"The body is not {encoding}: it does not unpack.") from exc
    if len(plain) > max_bytes:
        raise BodyTooLarge(f"The body unpacks to more than the {max_bytes:,} bytes that are read.")
    if not unpacking.eof or unpacking.unused_data:
        raise MalformedBody(f"The body is not {encoding}: it breaks off, or something follows it.")
    if not plain:
        raise EmptyBody("The body unpacks to nothing.")
    return plain


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _unsupported(kind: str, known: tuple[str, ...]) -> UnsupportedMediaType:
    got = f"The content type {kind[:80]!r} is not read here" if kind else "The content type is missing"
    return UnsupportedMediaType(f"{got}. Send one of: {', '.join(known)}.")


def _refused(exc: ValidationError, hint: str) -> MalformedBody | InvalidLatent | InvalidParameter:
    """Pydantic's verdict on a JSON body as an error of ours."""
    errors = exc.errors()
    if errors[0]["type"] == "json_invalid":
        return MalformedBody(f"The body is not JSON: {errors[0]['msg'].removeprefix('Invalid JSON: ')}.")
    kind = InvalidLatent if errors[0]["loc"][:1] == ("z",) else InvalidParameter
    return kind(f"{rejection(list(errors))}; {hint}.")
