"""The OpenAPI document.

Routes parse requests themselves, for speed and for one form of error, so FastAPI cannot infer parameters and bodies
from their signatures. This module describes both from the pydantic models that validate them.
"""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from app.api.formats.images import IMAGE_TYPES
from app.api.problems import MEDIA_TYPE as PROBLEM
from app.api.problems import in_protocol
from app.api.requests import JSON, MULTIPART
from app.api.schemas import EncodeRequest, NoQuery, Problem, ProtocolError

BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
TEXT: dict[str, Any] = {"schema": {"type": "string"}}
PROBLEM_REF = {"schema": {"$ref": "#/components/schemas/Problem"}}
PROTOCOL_REF = {"schema": {"$ref": "#/components/schemas/ProtocolError"}}
ANY = (400, 408, 431, 501, 503, 505)  # what the server answers, whatever the route

SCHEMES: dict[str, Any] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "Authorization: Bearer KEY"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "Where a proxy wants the other"},
}
EITHER: list[dict[str, list[str]]] = [{name: []} for name in SCHEMES]
UNAUTHORIZED = "No key, or none of this service's; see WWW-Authenticate"
RATE_LIMITED = "More requests than one caller may send; see Retry-After"


_REASONS = {
    304: "The picture has not changed",
    400: "The request, or its body, is empty or does not parse",
    404: "Not found",
    406: "No representation that Accept asks for",
    408: "The head or the body did not come in time",
    413: "Too many bytes or pixels",
    415: "A content type that is not read here",
    422: "Well-formed, but not what the model can take",
    431: "Too many header fields, or too long",
    500: "The model failed",
    501: "A transfer coding other than chunked",
    503: "Not now; see Retry-After",
    505: "A version of HTTP other than 1.1 and 1.0",
}

_FORM = {
    "schema": {
        "type": "object",
        "required": ["image"],
        "properties": {"image": {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}}},
        "additionalProperties": False,
    }
}


def build_openapi(app: FastAPI, *, is_open: Callable[[str], bool], keys: bool, limited: bool) -> dict[str, Any]:
    """Return the OpenAPI document of an application, built at the first call.

    Args:
        app: the application, with all its routes; it caches the document.
        is_open: returns whether a path needs no key and has no rate limit.
        keys: whether all other paths need a key.
        limited: whether all other paths have a rate limit.
    """
    is_built = app.openapi_schema is not None
    document = FastAPI.openapi(app)
    if not is_built:
        document.setdefault("components", {}).setdefault("schemas", {})["Problem"] = Problem.model_json_schema()
        _add_access(document, is_open, keys, limited)
    return document


def _add_access(document: dict[str, Any], is_open: Callable[[str], bool], keys: bool, limited: bool) -> None:
    """Add security schemes and the responses 401 and 429 to the operations that need a key or have a rate limit."""
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


def operation(
    query: type[BaseModel] = NoQuery, body: dict[str, Any] | None = None, more: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Return the parameters and the request body of an operation, for `openapi_extra`.

    Args:
        query: the model of the query string.
        body: the request body by media type.
        more: parameters in the path and in headers.
    """
    extra: dict[str, Any] = {"parameters": [*_parameters(query), *(more or [])]}
    if body is not None:
        extra["requestBody"] = {"required": True, "content": body}
    return extra


def answers(description: str, content: dict[str, Any], *statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the responses of an operation: 200, and problem documents for `statuses`, 500 and the statuses in ANY."""
    return {200: {"description": description, "content": content}, **refusals(*statuses, 500)}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return problem documents as the responses for `statuses` and for the statuses in ANY."""
    # Without FastAPI's `model`, which would promise them as application/json too.
    return {
        status: {"content": {PROBLEM: PROBLEM_REF}, "description": _REASONS[status]} for status in (*statuses, *ANY)
    }


def protocol_refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return errors in the form of the serving protocols for `statuses`, 500 and the statuses in ANY."""
    return {status: {"model": ProtocolError, "description": _REASONS[status]} for status in (*statuses, 500, *ANY)}


def parameter(name: str, where: str, description: str, **schema: Any) -> dict[str, Any]:
    """Describe a parameter in the path, which is required, or in a header or the query, which is not."""
    return {"name": name, "in": where, "required": where == "path", "description": description, "schema": schema}


def schema(model: type[BaseModel], **examples: Any) -> dict[str, Any]:
    """Describe a JSON body of `model`, with its definitions inlined."""
    document = model.model_json_schema(ref_template="#/components/schemas/{model}")
    definitions = document.pop("$defs", {})
    media: dict[str, Any] = {"schema": _inlined(document, definitions)}
    if examples:
        media["examples"] = {name: {"value": value} for name, value in examples.items()}
    return media


def _inlined(node: Any, definitions: dict[str, Any]) -> Any:
    """Replace references by their definitions: FastAPI does not add those of a request body to the document."""
    if isinstance(node, list):
        return [_inlined(each, definitions) for each in node]
    if not isinstance(node, dict):
        return node
    inner = {key: _inlined(value, definitions) for key, value in node.items() if key != "$ref"}
    if "$ref" not in node:
        return inner
    return {**_inlined(definitions[node["$ref"].rpartition("/")[2]], definitions), **inner}


def _parameters(query: type[BaseModel]) -> list[dict[str, Any]]:
    fields = query.model_json_schema().get("properties", {})
    return [parameter(name, "query", field.pop("description"), **field) for name, field in fields.items()]


NAME = parameter("name", "path", "The model.", type="string", enum=["encoder", "generator"])
VERSION = parameter("version", "path", "The version that is served.", type="string")
IMAGE_BODIES = dict.fromkeys(IMAGE_TYPES, BINARY) | {MULTIPART: _FORM, JSON: schema(EncodeRequest)}
