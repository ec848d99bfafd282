import json
import struct

import pytest

from app.api.json_limits import MAX_MEMBERS, SHORT, within
from app.errors import JsonTooLarge
from tests.app.api.test_problems import JSON, check_problem


def test_a_short_body_passes_unseen():
    assert within(b"[" * SHORT, 1) == b"[" * SHORT


@pytest.mark.parametrize("value", ["0,", "[],", '"",', "{},"])
def test_values_of_every_kind_are_counted(value):
    n = 100_000
    body = b"[" + value.encode() * (n - 1) + b"0]"
    assert within(body, 3 * n) == body
    with pytest.raises(JsonTooLarge):
        within(body, n // 2)


def test_members_of_objects_are_bounded_by_themselves():
    body = json.dumps({f"member {i}": 0 for i in range(MAX_MEMBERS + 1)}).encode()
    with pytest.raises(JsonTooLarge):
        within(body, 10**9)


def test_a_picture_in_base64_is_one_value():
    body = b'{"images":["data:image/png;base64,' + b"A" * 10**6 + b'"]}'
    assert within(body, 1024) == body


def only(client, most_values):
    """The application, with fewer values allowed."""
    service = client._transport.app.service
    service.settings = service.settings.model_copy(update={"max_json_values": most_values})


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/generate", b'{"z":[' + b"[0,0]," * 40_000 + b"[0,0]]}"),
        ("/encode", b'{"images":[[[' + b"0," * 100_000 + b"0]]]}"),
        ("/reconstruct", b'{"images":[' + b"[]," * 60_000 + b"[]]}"),
        ("/v1/models/generator:predict", b'{"instances":[' + b"0," * 100_000 + b"0]}"),
        (
            "/v2/models/generator/infer",
            b'{"inputs":[{"name":"z","shape":[2],"datatype":"FP32","data":[' + b"0," * 90_000,
        ),
    ],
)
async def test_more_values_than_are_parsed_are_refused(client, path, body):
    only(client, 50_000)
    refused = await client.post(path, content=body, headers=JSON)
    if path.startswith("/v"):
        assert (refused.status_code, list(refused.json())) == (413, ["error"])
        assert "50,000 values" in refused.json()["error"]
    else:
        check_problem(refused, 413, "json-too-large", "50,000 values")


async def test_raw_bytes_behind_the_json_are_no_values(client):
    only(client, 1024)
    raw = b",[,:" * 2 * 4096
    assert abs(struct.unpack("<f", raw[:4])[0]) < 10**6
    tensor = {"name": "z", "shape": [4096, 2], "datatype": "FP32", "parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"inputs": [{**tensor, "padding": "x" * SHORT}]}).encode()
    headers = {"inference-header-content-length": str(len(head))}
    answer = await client.post("/v2/models/generator/infer", content=head + raw, headers=headers)
    assert answer.status_code == 200


async def test_a_list_of_wrong_values_costs_one_message(client):
    for path, body in (
        ("/generate", b'{"z":[' + b'"a",' * 16_000 + b"0]}"),
        ("/generate", b'{"z":[' + b'["a"],' * 10_000 + b"[0]]}"),
        ("/encode", b'{"images":[[' + b'["a"],' * 10_000 + b"[0]]]}"),
        ("/encode", b'{"images":[' + b"7," * 30_000 + b"0]}"),
    ):
        answer = await client.post(path, content=body, headers=JSON)
        assert answer.status_code == 422
        assert len(answer.content) < 1000
