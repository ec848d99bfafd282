"""Which representation a client asked for (RFC 9110, 12.5.1)."""

from __future__ import annotations

from functools import lru_cache

import mimeparse
from fastapi import Request

from app.errors import NotAcceptable


def accepted(request: Request, *offers: str) -> str:
    """The offer that Accept likes best; the first one if it says nothing.

    Raises:
        NotAcceptable: it likes none of them, or does not parse.
    """
    return _best(request.headers.get("accept") or "*/*", offers)


@lru_cache(256)
def _best(header: str, offers: tuple[str, ...]) -> str:
    try:
        # Of offers liked equally mimeparse takes the last one.
        best: str = mimeparse.best_match(reversed(offers), header)
    except mimeparse.MimeTypeParseException:
        best = ""
    if not best:
        raise NotAcceptable(f"Accept asks for {header[:120]!r}; this route answers with {', '.join(offers)}.")
    return best
