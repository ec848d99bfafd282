"""Requests of the serving protocols for hypothesis: nearly right, and wrong in any way that comes to mind.

Each is (path, headers, content) of a POST.
"""

import base64
import json
import struct
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.support.pictures import file_of

Request = tuple[str, dict[str, str], bytes]

LENGTH = "Inference-Header-Content-Length"
FILE = file_of(np.pad(np.full((20, 20), 200, np.uint8), 4))
SIZES = {"FP16": 2, "FP32": 4, "FP64": 8, "UINT8": 1}

MODELS = st.sampled_from(["encoder", "generator"])
NUMBERS = st.one_of(
    st.sampled_from([0, 1, 0.5, -1, 256, 1e6, -1e6, 1000001, 1e39, 2**64, 10**400, float("nan"), float("inf")]),
    st.floats(0, 1),
    st.integers(),
)
JUNK = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=8)),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["z", "image", "b64", "x"]), inner, max_size=2)
    ),
    max_leaves=8,
)
FILES = st.one_of(
    st.just(FILE),
    st.binary(max_size=40),
    st.integers(0, len(FILE)).map(lambda end: FILE[:end]),
)
TEXTS = st.one_of(FILES.map(lambda file: base64.b64encode(file).decode()), st.text(max_size=10))


def sometimes(usual: Any, others: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly the usual value."""
    return st.integers(0, 9).flatmap(lambda draw: others if draw == 0 else st.just(usual))


def rows_of(model: str, n: int) -> st.SearchStrategy[Any]:
    """N rows of what a model takes, nested."""
    if model == "generator":
        return st.lists(st.lists(sometimes(0.5, NUMBERS), min_size=2, max_size=2), min_size=n, max_size=n)
    return sometimes(0.5, NUMBERS).map(lambda level: [[[level] * 28] * 28] * n)


def protocol_requests() -> st.SearchStrategy[Request]:
    """Of either protocol."""
    return st.one_of(infer_requests(), predict_requests())


@st.composite
def infer_requests(draw: st.DrawFn) -> Request:
    """POST .../infer of the Open Inference Protocol."""
    model = draw(MODELS)
    drawn = draw(sometimes(1, st.integers(0, 3)))
    inputs, raws = zip(*[draw(_tensors(model)) for _ in range(drawn)], strict=True) if drawn else ((), ())
    document = {"inputs": draw(sometimes(list(inputs), JUNK))}
    document |= draw(sometimes({}, st.fixed_dictionaries({}, optional={"id": JUNK, "parameters": JUNK, "x": JUNK})))
    document |= draw(
        sometimes({}, st.fixed_dictionaries({"outputs": st.one_of(JUNK, st.lists(_outputs(), max_size=3))}))
    )
    head = json.dumps(document).encode()
    raw = b"".join(raws)
    lengths = st.one_of(st.integers(-2, 2).map(lambda more: str(len(head) + more)), st.text("0123456789x-", max_size=9))
    headers = draw(sometimes({LENGTH: str(len(head))} if raw else {}, lengths.map(lambda length: {LENGTH: length})))
    return f"/v2/models/{model}/infer", headers, draw(_damaged(head + raw))


@st.composite
def _tensors(draw: st.DrawFn, model: str) -> tuple[dict[str, Any], bytes]:
    """An input, and its bytes behind the JSON."""
    datatype = draw(st.sampled_from([*SIZES, "BYTES"]))
    n = draw(st.integers(1, 2))
    right = [n] if datatype == "BYTES" else [n, 2] if model == "generator" else [n, 28, 28]
    sizes = st.lists(st.sampled_from([-1, 0, 1, 2, 3, 28, 784, 2**31, 2**63, 2**64, 1.5, "1"]), max_size=4)
    tensor = {
        "name": draw(sometimes("z" if model == "generator" else "image", JUNK)),
        "datatype": draw(sometimes(datatype, st.one_of(st.sampled_from(["INT32", "fp32", ""]), JUNK))),
        "shape": draw(sometimes(right, st.one_of(sizes, JUNK))),
    }
    raw = b""
    if draw(st.booleans()):
        raw = draw(_elements(n) if datatype == "BYTES" else _levels(int(np.prod(right)) * SIZES[datatype]))
        tensor["parameters"] = draw(sometimes({"binary_data_size": len(raw)}, _sizes(len(raw))))
    if not raw or draw(sometimes(False, st.just(True))):
        usual = st.lists(TEXTS, min_size=n, max_size=n) if datatype == "BYTES" else rows_of(model, n)
        tensor["data"] = draw(sometimes(draw(usual), JUNK))
    return tensor, raw


def _sizes(right: int) -> st.SearchStrategy[Any]:
    near = st.integers(right - 2, right + 2).map(lambda size: {"binary_data_size": size})
    return st.one_of(near, JUNK.map(lambda size: {"binary_data_size": size}), JUNK)


def _levels(size: int) -> st.SearchStrategy[bytes]:
    return sometimes(bytes(size), st.one_of(st.binary(min_size=8, max_size=8).map(lambda seed: (seed * size)[:size])))


def _elements(n: int) -> st.SearchStrategy[bytes]:
    """Files with their lengths before them, which may lie."""
    lies = st.sampled_from([0, 1, 2**31, 2**32 - 1])
    one = FILES.flatmap(lambda file: sometimes(len(file), lies).map(lambda size: struct.pack("<I", size) + file))
    return st.lists(one, min_size=n, max_size=n).map(b"".join)


def _outputs() -> st.SearchStrategy[Any]:
    names = st.sampled_from(["z_mean", "z_log_var", "image", "x"])
    flags = st.fixed_dictionaries({}, optional={"binary_data": st.one_of(st.booleans(), JUNK), "classification": JUNK})
    return st.fixed_dictionaries({"name": names}, optional={"parameters": flags})


@st.composite
def predict_requests(draw: st.DrawFn) -> Request:
    """POST ...:predict of TensorFlow Serving."""
    model = draw(MODELS)
    n = draw(st.integers(1, 2))
    files = st.lists(TEXTS.map(lambda text: {"b64": text}), min_size=n, max_size=n)
    rows = draw(sometimes(draw(st.one_of(rows_of(model, n), files)), JUNK))
    name = draw(sometimes("z" if model == "generator" else "image", st.sampled_from(["x", "b64"])))
    column = draw(st.sampled_from([rows, {name: rows}]))
    named = draw(st.sampled_from([rows, [{name: row} for row in rows] if isinstance(rows, list) else rows]))
    document = draw(st.sampled_from([{"instances": named}, {"inputs": column}]))
    document = document | draw(
        sometimes({}, st.fixed_dictionaries({}, optional={"signature_name": JUNK, "inputs": JUNK, "x": JUNK}))
    )
    return f"/v1/models/{model}:predict", {}, draw(_damaged(json.dumps(document).encode()))


def _damaged(body: bytes) -> st.SearchStrategy[bytes]:
    """Mostly whole; cut, longer, or with a byte that is another."""
    place = st.integers(0, max(0, len(body) - 1))
    cut = place.map(lambda end: body[:end])
    longer = st.binary(min_size=1, max_size=9).map(lambda more: body + more)
    changed = st.tuples(place, st.integers(0, 255)).map(lambda at: body[: at[0]] + bytes([at[1]]) + body[at[0] + 1 :])
    return sometimes(body, st.one_of(cut, longer, changed))
