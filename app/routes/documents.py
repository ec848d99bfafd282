"""The OpenAPI side of the routes.

They read requests themselves, for speed and for one form of error, so what FastAPI would
infer from their signatures is written here, from the same pydantic models that validate.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from app.problems import MEDIA_TYPE as PROBLEM
from app.schemas import NoQuery, Problem, ProtocolError

BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
PROBLEM_REF = {"schema": {"$ref": "#/components/schemas/Problem"}}
ANY = (400, 408, 431, 503)  # malformed or slow requests, too many header fields or connections
TEXT: dict[str, Any] = {"schema": {"type": "string"}}


def operation(
    query: type[BaseModel] = NoQuery,
    body: dict[str, Any] | None = None,
    more: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """The parameters (`more` are those of path and header) and request body of an operation, for `openapi_extra`."""
    extra: dict[str, Any] = {"parameters": [*_parameters(query), *(more or [])]}
    if body is not None:
        extra["requestBody"] = {"required": True, "content": body}
    return extra


def answers(description: str, content: dict[str, Any], *statuses: int) -> dict[int | str, dict[str, Any]]:
    """The responses of an operation: its 200, and problem documents for `statuses` and 500."""
    return {200: {"description": description, "content": content}, **refusals(*statuses, 500)}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of an operation, as problem documents: `statuses`, and what any request may meet."""
    # Without FastAPI's `model`, which would promise them as application/json too; hence `define_problem`.
    return {
        status: {"content": {PROBLEM: PROBLEM_REF}, "description": _REASONS[status]} for status in (*statuses, *ANY)
    }


def define_problem(app: FastAPI) -> None:
    """Put what PROBLEM_REF refers to into the OpenAPI document of `app`."""
    describe = app.openapi

    def with_problem() -> dict[str, Any]:
        document = describe()
        document.setdefault("components", {}).setdefault("schemas", {})["Problem"] = Problem.model_json_schema()
        return document

    app.openapi = with_problem  # type: ignore[method-assign]  # as FastAPI has it done


def protocol_refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of an operation of a serving protocol, in the protocol's form: `statuses`, 500 and as `refusals`."""
    return {status: {"model": ProtocolError, "description": _REASONS[status]} for status in (*statuses, 500, *ANY)}


def schema(model: type[BaseModel], **examples: Any) -> dict[str, Any]:
    """A JSON body of `model`, its definitions in place."""
    document = model.model_json_schema(ref_template="#/components/schemas/{model}")
    definitions = document.pop("$defs", {})
    media: dict[str, Any] = {"schema": _inlined(document, definitions)}
    if examples:
        media["examples"] = {name: {"value": value} for name, value in examples.items()}
    return media


def _inlined(node: Any, definitions: dict[str, Any]) -> Any:
    """A schema with what it refers to put in place: nothing else would bring a body's definitions into the document."""
    if isinstance(node, list):
        return [_inlined(each, definitions) for each in node]
    if not isinstance(node, dict):
        return node
    inner = {key: _inlined(value, definitions) for key, value in node.items() if key != "$ref"}
    if "$ref" not in node:
        return inner
    return {**_inlined(definitions[node["$ref"].rpartition("/")[2]], definitions), **inner}


def _parameters(query: type[BaseModel]) -> list[dict[str, Any]]:
    document = query.model_json_schema()
    return [
        {
            "name": name,
            "in": "query",
            "required": name in document.get("required", ()),
            "description": field.pop("description", ""),
            "schema": field,
        }
        for name, field in document.get("properties", {}).items()
    ]


NAME = {
    "name": "name",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "enum": ["encoder", "generator"]},
    "description": "The model.",
}
VERSION = {
    "name": "version",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "description": "The version that is served.",
}

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
    503: "Not now; see Retry-After",
}
