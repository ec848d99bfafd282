import json
import re

import pytest

from app.errors import CorruptVersion
from app.main import create_app
from app.settings import Settings
from tests.support.fakes import FakeEngine

OPEN_INFERENCE = [
    ("/v2", "get"), ("/v2/health/live", "get"), ("/v2/health/ready", "get"), ("/v2/repository/index", "post"),
    *((f"/v2/models/{{name}}{version}{what}", verb)
      for version in ("", "/versions/{version}")
      for what, verb in (("", "get"), ("/ready", "get"), ("/infer", "post"))),
]  # fmt: skip
TENSORFLOW_SERVING = [
    (f"/v1/models/{{name}}{version}{what}", verb)
    for version in ("", "/versions/{version}")
    for what, verb in (("", "get"), ("/metadata", "get"), (":predict", "post"))
]


async def test_the_probes_say_yes(client):
    assert (await client.get("/livez")).json() == {"status": "alive"}
    assert (await client.get("/readyz")).json() == {"status": "ready"}


async def test_model_is_the_served_versions_manifest(client, store):
    manifest = json.loads((store / "manifests" / "1.json").read_text())
    assert (await client.get("/model")).json() == manifest


async def test_every_operation_of_the_openapi_document_names_its_bodies_answers_and_problems(client):
    document = (await client.get("/openapi.json")).json()
    operations = {(path, verb): each for path, verbs in document["paths"].items() for verb, each in verbs.items()}
    assert set(operations) == {
        ("/encode", "post"), ("/generate", "post"), ("/reconstruct", "post"),
        ("/manifold.png", "get"), ("/latent.png", "get"), ("/model", "get"), ("/livez", "get"), ("/readyz", "get"),
        ("/metrics", "get"),
        *OPEN_INFERENCE, *TENSORFLOW_SERVING,
    }  # fmt: skip
    kinds = {"image/png", "image/jpeg", "image/webp", "image/bmp", "multipart/form-data"}
    kinds |= {"application/json", "application/x-npy"}
    assert set(operations["/encode", "post"]["requestBody"]["content"]) == kinds
    assert set(operations["/generate", "post"]["responses"]["200"]["content"]) == {
        "image/png", "application/x-npy", "application/json",
    }  # fmt: skip
    assert {"400", "406", "413", "415", "422", "500", "503"} <= set(operations["/generate", "post"]["responses"])
    query = {each["name"] for each in operations["/manifold.png", "get"]["parameters"] if each["in"] == "query"}
    assert query == {"n", "scale", "low", "high", "dims"}
    assert {"Problem", "ProtocolError"} <= set(document["components"]["schemas"])


async def test_the_openapi_document_names_the_protocols_bodies_parameters_and_errors(client):
    response = await client.get("/openapi.json")
    document = response.json()
    for path, verb in (*OPEN_INFERENCE, *TENSORFLOW_SERVING):
        operation = document["paths"][path][verb]
        named = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", path))
        assert "422" not in operation["responses"]
        for status, answer in operation["responses"].items():
            if status != "200":
                schema = answer["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/ProtocolError"}
    infer = document["paths"]["/v2/models/{name}/infer"]["post"]
    assert set(infer["requestBody"]["content"]) == {"application/json", "application/octet-stream"}
    body = infer["requestBody"]["content"]["application/json"]["schema"]
    assert "binary_data_size" in body["properties"]["inputs"]["items"]["properties"]["parameters"]["properties"]
    assert {each["name"] for each in infer["parameters"] if each["in"] == "header"} == {
        "Inference-Header-Content-Length"
    }
    assert {"400", "404", "413", "500", "503"} <= set(infer["responses"])
    referred = set(re.findall(r"#/components/schemas/(\w+)", response.text))
    assert referred <= set(document["components"]["schemas"])


async def test_the_model_is_warmed_before_the_service_is_ready_and_freed_after(settings):
    engine = FakeEngine()
    app = create_app(settings, lambda stored, settings: engine)
    async with app.router.lifespan_context(app):
        assert engine.warm
    assert engine.closed


async def test_a_damaged_version_is_never_loaded(store):
    (store / "encoder" / "1" / "saved_model.pb").write_bytes(b"evil")
    opened = []
    app = create_app(Settings(model_store=store), lambda stored, settings: opened.append(stored) or FakeEngine())
    with pytest.raises(CorruptVersion):
        async with app.router.lifespan_context(app):
            pass
    assert not opened
