"""CORS (VAE_CORS_ORIGINS): Starlette's middleware, for the origins whose pages may call the service from a browser.

Cookies are not allowed: a key is sent in a header, and no browser adds that header by itself.

https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

METHODS = ("GET", "HEAD", "POST")
ASKED = ("Authorization", "If-None-Match", "Inference-Header-Content-Length", "X-API-Key")
TOLD = ("ETag", "Inference-Header-Content-Length", "Retry-After", "WWW-Authenticate", "X-Model-Version")


def cors(origins: tuple[str, ...]) -> Middleware:
    """Return the middleware by which pages of `origins` may read responses."""
    return Middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=METHODS,
        allow_headers=ASKED,
        expose_headers=TOLD,
        max_age=7200,
    )
