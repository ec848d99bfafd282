"""Entity tags: whether a client has an answer already (RFC 9110, 13.1.2)."""

from __future__ import annotations


def matches(if_none_match: str, etag: str) -> bool:
    """Whether the header If-None-Match holds this entity tag, compared weakly."""
    return if_none_match.strip() == "*" or etag in (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))
