"""The explorer: GET / and its static files.

The page is plain HTML, CSS and modules, served unchanged from static/. Its scripts call the public routes; only the
test set's latent points have a route of their own.
"""

import hashlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

from fastapi import APIRouter, Response

from app.api.requests import JSON, Request
from app.api.responses import matches
from app.errors import NotFound

FOLDER = Path(__file__).parent / "static"
PAGE = "index.html"

# Written here, because what `mimetypes` says depends on the host, and a browser runs no module of another type.
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

# The page loads from its own service and nothing else; a picture may also be one that it was just given.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "cache-control": "no-cache",  # asked for each time, sent only when it has changed: no stale page after an update
}

router = APIRouter(include_in_schema=False)


class Asset(NamedTuple):
    """A file with its media type and ETag."""

    content: bytes
    media_type: str
    etag: str


@router.get("/")
async def page(request: Request) -> Response:
    """Return the page."""
    return _answer(request, assets()[PAGE])


@router.get("/explorer/points.json")
async def points(request: Request) -> Response:
    """Return the latent points of the test set by class, from the report of the served version."""
    content = request.model.latent_points
    return _answer(request, _asset(content, JSON))


@router.get("/explorer/{name}")
async def asset(request: Request) -> Response:
    """Return a static file of the page."""
    name = request.path_params["name"]
    if name not in assets():
        raise NotFound(f"The explorer has no file {name[:100]!r}. Its page is at /.")
    return _answer(request, assets()[name])


@cache
def assets() -> dict[str, Asset]:
    """Return all static files by name, read once, so that a request's path is never used as a file's path."""
    return {
        path.name: _asset(path.read_bytes(), MEDIA_TYPES[path.suffix])
        for path in FOLDER.iterdir()
        if path.suffix in MEDIA_TYPES
    }


def open_paths() -> list[str]:
    """Return the paths of the page and its static files, which need no key; the latent points do need one."""
    return ["/", *(f"/explorer/{name}" for name in assets())]


def _asset(content: bytes, media_type: str) -> Asset:
    return Asset(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:24]}"')


def _answer(request: Request, asset: Asset) -> Response:
    headers = HEADERS | {"etag": asset.etag}
    if matches(request.fields.get(b"if-none-match", b"").decode("latin-1"), asset.etag):
        return Response(status_code=304, headers=headers)
    return Response(asset.content, headers=headers, media_type=asset.media_type)
