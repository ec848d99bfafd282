"""A limit on the JSON values of a request, checked before any of them is parsed.

Parsing and validation hold the interpreter's lock from the first byte to the last, in every thread. A value of two
bytes costs as much time and memory as one of twenty, so a limit on bytes is not enough. Every value but the first
follows a comma or an opening bracket; counting these takes a hundredth of the time of parsing.
"""

from app.errors import JsonTooLarge

SHORT = 65536  # bytes, whose values are parsed in a few milliseconds whatever they are
MAX_MEMBERS = 2**14  # of objects, each of which may cost an error message of its own


def within(body: bytes, most_values: int) -> bytes:
    """Return the body if it has at most about `most_values` values.

    A body of at most SHORT bytes is always returned. Commas, brackets and colons inside strings are counted too;
    base64 has none.

    Raises:
        JsonTooLarge: the body has more values, or more than MAX_MEMBERS members of objects.
    """
    if len(body) <= SHORT:
        return body
    if body.count(b",") + body.count(b"[") + body.count(b"{") > most_values or body.count(b":") > MAX_MEMBERS:
        raise JsonTooLarge(
            f"The JSON has more than the {most_values:,} values, or {MAX_MEMBERS:,} members of objects, that are "
            "parsed in one request. Send fewer rows, or send numbers as npy or as binary tensors."
        )
    return body
