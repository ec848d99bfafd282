"""How much JSON is parsed: by the number of its values, before any of them is made.

Parsing and checking hold the interpreter's lock from the first byte to the last, in whatever thread they run, and a
value of two bytes takes as long and as much memory as one of twenty. Every value but the first stands behind a comma
or an opening bracket, and counting these takes a hundredth of the time.
"""

from __future__ import annotations

from app.errors import JsonTooLarge

SHORT = 65536  # bytes, whose values are parsed in a few milliseconds whatever they are
MAX_MEMBERS = 2**14  # of objects, each of which may cost an error message of its own


def within(body: bytes, most_values: int) -> bytes:
    """Return the body if it has at most about `most_values` values.

    What stands in strings is counted too; pictures in base64 have nothing to count.

    Raises:
        JsonTooLarge: it has more.
    """
    if len(body) <= SHORT:
        return body
    if body.count(b",") + body.count(b"[") + body.count(b"{") > most_values or body.count(b":") > MAX_MEMBERS:
        raise JsonTooLarge(
            f"The JSON has more than the {most_values:,} values, or {MAX_MEMBERS:,} members of objects, that are "
            "parsed in one request. Send fewer rows, or send numbers as npy or as binary tensors."
        )
    return body
