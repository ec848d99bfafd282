"""W3C Trace Context: which headers name a trace."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.telemetry.tracing import TRACE as KEY
from app.telemetry.tracing import trace_id_of

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
VALID = f"00-{TRACE}-{SPAN}-01"


def read(*values: str) -> str | None:
    return trace_id_of({"headers": [(b"accept", b"*/*"), *((b"traceparent", value.encode()) for value in values)]})


@pytest.mark.parametrize(
    "value",
    [
        VALID,
        f"00-{TRACE}-{SPAN}-00",
        f"00-{TRACE}-{SPAN}-ff",
        f"cc-{TRACE}-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01-what the future will be like",
        f" {VALID} ",
    ],
)
def test_a_valid_header_names_its_trace(value):
    assert read(value) == TRACE


@pytest.mark.parametrize(
    "value",
    [
        "",
        "00",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}0-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01-",
        f"00-{TRACE}-{SPAN}-01-more",
        f"cc-{TRACE}-{SPAN}-01.more",
        f"00_{TRACE}_{SPAN}_01",
        f"0g-{TRACE}-{SPAN}-01",
    ],
)
def test_an_invalid_header_names_none(value):
    assert read(value) is None


def test_two_headers_name_none():
    assert read(VALID, VALID) is None
    assert read() is None


@given(st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[a-z]*)?", fullmatch=True) | st.text())
def test_whatever_comes_gives_a_trace_id_or_none(value):
    found = trace_id_of({"headers": [(b"traceparent", value.encode("utf-8", "surrogatepass"))]})
    assert found is None or re.fullmatch(r"(?!0{32})[0-9a-f]{32}", found)


def test_the_trace_of_a_request_is_that_of_its_span_if_it_has_one():
    headers = [(b"traceparent", VALID.encode())]
    assert trace_id_of({"headers": headers, KEY: "1" * 32}) == "1" * 32
