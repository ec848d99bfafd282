"""The trace id in a request's header `traceparent` (W3C Trace Context, https://www.w3.org/TR/trace-context/)."""

from __future__ import annotations

import re
from collections.abc import Iterable

HEADER = b"traceparent"
# Version, trace id, the caller's span id, flags; a later version may go on after another dash (3.2.4).
FORM = re.compile(rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


def trace_id(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Return the trace id, 32 hexadecimal digits; None if there is no traceparent, several, or an invalid one."""
    found = [value for name, value in headers if name == HEADER]
    if len(found) != 1:
        return None
    parts = FORM.fullmatch(found[0].strip())
    if parts is None or (parts[1] == b"00" and parts[3]):
        return None
    return parts[2].decode("ascii")
