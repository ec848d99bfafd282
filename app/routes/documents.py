"""The OpenAPI side of the routes.

They read requests themselves, for speed and for one form of error, so what FastAPI would
infer from their signatures is written here, from the same pydantic models that validate.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from app.problems import MEDIA_TYPE as PROBLEM
from app.schemas import NoQuery, Problem

BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
TEXT: dict[str, Any] = {"schema": {"type": "string"}}
PROBLEM_REF = {"schema": {"$ref": "#/components/schemas/Problem"}}


def operation(
    query: type[BaseModel] = NoQuery,
    body: dict[str, Any] | None = None,
    headers: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """The parameters and request body of an operation, for `openapi_extra`."""
    extra: dict[str, Any] = {"parameters": [*_parameters(query), *(headers or [])]}
    if body is not None:
        extra["requestBody"] = {"required": True, "content": body}
    return extra


def answers(description: str, content: dict[str, Any], *refusals: int) -> dict[int | str, dict[str, Any]]:
    """The responses of an operation: its 200, and problem documents for `refusals` and 503."""
    problems: dict[int | str, dict[str, Any]] = {
        status: {"model": Problem, "content": {PROBLEM: PROBLEM_REF}, "description": _REASONS[status]}
        for status in (*refusals, 500, 503)
    }
    return {200: {"description": description, "content": content}, **problems}


def schema(model: type[BaseModel], **examples: Any) -> dict[str, Any]:
    """A JSON body of `model`, its definitions in place."""
    document = model.model_json_schema(ref_template="#/components/schemas/{model}")
    document.pop("$defs", None)
    media: dict[str, Any] = {"schema": document}
    if examples:
        media["examples"] = {name: {"value": value} for name, value in examples.items()}
    return media


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


_REASONS = {
    304: "The picture has not changed",
    400: "The body is empty or does not parse",
    404: "Not found",
    406: "No representation that Accept asks for",
    413: "Too many bytes or pixels",
    415: "A content type that is not read here",
    422: "Well-formed, but not what the model can take",
    500: "The model failed",
    503: "Not now; see Retry-After",
}
