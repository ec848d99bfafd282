"""Which other sites' pages may call from a browser (VAE_CORS_ORIGINS): Starlette's middleware, where any may.

https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from __future__ import annotations

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

METHODS = ("GET", "HEAD", "POST")
ASKED = ("Authorization", "If-None-Match", "Inference-Header-Content-Length", "X-API-Key")
TOLD = ("ETag", "Inference-Header-Content-Length", "Retry-After", "WWW-Authenticate", "X-Model-Version")


def add_cors(app: ASGIApp, origins: tuple[str, ...]) -> ASGIApp:
    """Wrap an application so that pages of `origins` may read its responses.

    Cookies are not among what a page may send: a key is a header, which no browser adds by itself.
    """
    return CORSMiddleware(
        app, allow_origins=origins, allow_methods=METHODS, allow_headers=ASKED, expose_headers=TOLD, max_age=7200
    )
