"""The OpenAPI document's side of who may call: which operations want a key, and what refuses a caller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.problems import MEDIA_TYPE as PROBLEM
from app.problems import in_protocol
from app.routes.documents import PROBLEM_REF
from app.routes.reading import JSON

SCHEMES: dict[str, Any] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "Authorization: Bearer KEY"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "Where a proxy wants the other"},
}
EITHER: list[dict[str, list[str]]] = [{name: []} for name in SCHEMES]
PROTOCOL_REF = {"schema": {"$ref": "#/components/schemas/ProtocolError"}}
UNAUTHORIZED = "No key, or none of this service's; see WWW-Authenticate"
RATE_LIMITED = "More requests than one caller may send; see Retry-After"


def describe(document: dict[str, Any], *, is_open: Callable[[str], bool], keys: bool, limited: bool) -> None:
    """Write into an OpenAPI document what its operations ask of a caller; nothing where they ask nothing.

    Args:
        document: it is changed.
        is_open: whether a path needs no key and has no limit.
        keys: whether the others need one.
        limited: whether they have one.
    """
    if keys:
        document.setdefault("components", {})["securitySchemes"] = SCHEMES
    refusals = {"401": UNAUTHORIZED} if keys else {}
    refusals |= {"429": RATE_LIMITED} if limited else {}
    for path, verbs in document["paths"].items():
        if is_open(path):
            continue
        content = {JSON: PROTOCOL_REF} if in_protocol(path) else {PROBLEM: PROBLEM_REF}
        for operation in verbs.values():
            for status, why in refusals.items():
                operation["responses"][status] = {"description": why, "content": content}
            if keys:
                operation["security"] = EITHER
