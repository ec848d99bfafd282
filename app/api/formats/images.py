"""The images of a request: picture files, forms, JSON and arrays."""

from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError
from python_multipart.multipart import parse_options_header
from starlette.exceptions import HTTPException
from starlette.requests import Request as StarletteRequest
from starlette.types import Message

from app.api.formats import npy
from app.api.requests import JSON, MULTIPART, Request, body_error, content_type, read_body, read_json
from app.api.schemas import EncodeRequest
from app.errors import EmptyBody, InvalidImage, InvalidParameter, MalformedBody
from app.imaging.decode import MEDIA_TYPES, from_base64
from app.imaging.types import FloatArray
from app.inference.inputs import ImageInput

IMAGE_TYPES = (*MEDIA_TYPES, MULTIPART, JSON, npy.MEDIA_TYPE)


async def read_images(request: Request, max_images: int) -> list[ImageInput]:
    """Read the images of a body, in order, from any media type in IMAGE_TYPES.

    Raises:
        UnsupportedMediaType, EmptyBody, MalformedBody, InvalidImage, InvalidParameter: with the reason as its detail.
        JsonTooLarge: the JSON has too many values.
    """
    kind = content_type(request, IMAGE_TYPES)
    if kind == MULTIPART:
        found = await _image_parts(request, max_images)
    elif kind == JSON:
        found = _json_images(await read_json(request))
    elif kind == npy.MEDIA_TYPE:
        found = [images_from_array(npy.loads(await read_body(request)))]
    else:
        found = [await read_body(request)]
    if len(found) > max_images:
        raise InvalidImage(f"There are {len(found)} pictures; at most {max_images} are taken in one request.")
    return found


def images_from_array(array: npt.NDArray[Any]) -> FloatArray:
    """Convert an array, (n, h, w) or (h, w), to images in [0, 1], float32 (n, h, w).

    Grey levels (uint8) are divided by 255, floats are taken as they are.

    Raises:
        InvalidImage: the array has another shape or type, or a number is out of range.
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


def _json_images(body: bytes) -> list[ImageInput]:
    try:
        wanted = EncodeRequest.model_validate_json(body)
    except ValidationError as exc:
        raise body_error(exc, "send base64 pictures, or rows of numbers") from exc
    return [from_base64(item) if isinstance(item, str) else _from_rows(item) for item in wanted.images]


def _from_rows(rows: list[list[float]]) -> FloatArray:
    if len({len(row) for row in rows}) != 1:
        raise InvalidImage("The rows of an image must all have the same length.")
    image = np.asarray([rows], np.float32)
    return image / np.float32(255) if image.max(initial=0) > 1 else image


async def _image_parts(request: Request, max_images: int) -> list[ImageInput]:
    _, told = parse_options_header(request.fields[b"content-type"])
    boundary = told.get(b"boundary")
    body = await read_body(request)
    # A form whose end is missing would be taken for one with fewer parts.
    if boundary and b"--%b--" % boundary not in body:
        raise MalformedBody("The multipart body was cut short: its closing boundary is missing.")

    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    try:
        async with StarletteRequest(request.scope, receive).form(max_files=max_images, max_fields=8) as form:
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
