from __future__ import annotations

import json

import pytest

from app.errors import CorruptVersion
from app.main import create_app
from app.settings import Settings
from tests.fakes import FakeEngine


async def test_the_probes_say_yes(client):
    assert (await client.get("/livez")).json() == {"status": "alive"}
    assert (await client.get("/readyz")).json() == {"status": "ready"}


async def test_model_is_the_served_versions_manifest(client, store):
    manifest = json.loads((store / "manifests" / "1.json").read_text())
    assert (await client.get("/model")).json() == manifest


async def test_the_first_page_leads_to_the_docs(client):
    response = await client.get("/")
    assert (response.status_code, response.headers["location"]) == (307, "/docs")
    assert (await client.get("/docs")).status_code == 200


async def test_every_operation_of_the_openapi_document_names_its_bodies_answers_and_problems(client):
    document = (await client.get("/openapi.json")).json()
    operations = {(path, verb): each for path, verbs in document["paths"].items() for verb, each in verbs.items()}
    assert set(operations) == {
        ("/encode", "post"), ("/generate", "post"), ("/reconstruct", "post"),
        ("/manifold.png", "get"), ("/latent.png", "get"), ("/model", "get"), ("/livez", "get"), ("/readyz", "get"),
        ("/metrics", "get"),
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
    assert "Problem" in document["components"]["schemas"]


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
