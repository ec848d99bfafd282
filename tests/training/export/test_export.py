from __future__ import annotations

import csv

import numpy as np
import pytest

from app.imaging.decode import open_picture
from app.models.store import ModelStore
from tests.support.small_dataset import first
from training.config import Config
from training.data.dataset import DataSet
from training.data.datasets import load
from training.errors import PublishError

pytestmark = pytest.mark.slow

CONFIG = Config(epochs=2, encoder_units=(32,), generator_units=(32,), batch_size=50, seed=1)


@pytest.fixture(scope="module")
def digits() -> DataSet:
    whole = load("mnist-5k")
    return first(whole, 500, 200)


@pytest.fixture(scope="module")
def trained(digits):
    from training.loop.train import train

    return train(CONFIG, digits)


@pytest.fixture(scope="module")
def published(trained, digits, tmp_path_factory):
    from training.export.export import export

    root = tmp_path_factory.mktemp("published")
    return export(trained, digits, root), root


def test_the_version_verifies_and_its_manifest_says_what_it_is(published):
    manifest, root = published
    stored = ModelStore(root).open()
    stored.verify()
    assert stored.manifest == manifest
    assert (manifest.version, manifest.latent_dim, manifest.image_shape, manifest.seed) == (1, 2, (28, 28), 1)
    assert manifest.training["epochs"] == 2
    assert manifest.data.name == "few"
    assert set(manifest.packages) == {"python", "tensorflow", "keras", "numpy"}
    measures = manifest.measures
    assert measures["test_loss"] == pytest.approx(measures["test_xent"] + measures["test_kl"])
    assert 0 < measures["knn_accuracy"] <= 1


def test_the_signatures_are_those_of_the_contract(published):
    import tensorflow as tf

    _, root = published
    encoder = tf.saved_model.load(str(root / "encoder" / "1")).signatures["serving_default"]
    generator = tf.saved_model.load(str(root / "generator" / "1")).signatures["serving_default"]
    assert encoder.structured_input_signature[1] == {"image": tf.TensorSpec((None, 28, 28), tf.float32, "image")}
    assert set(encoder.structured_outputs) == {"z_mean", "z_log_var"}
    assert generator.structured_input_signature[1] == {"z": tf.TensorSpec((None, 2), tf.float32, "z")}
    (image,) = generator.structured_outputs.values()
    assert (image.dtype, image.shape.as_list()) == (tf.float32, [None, 28, 28])


def test_the_engine_computes_what_was_trained(published, trained, digits):
    from app.models.savedmodel import SavedModelEngine

    _, root = published
    engine = SavedModelEngine(ModelStore(root).open())
    engine.warm_up()
    for n in (1, 7, 64):
        pixels = digits.x_test[:n].astype(np.float32) / np.float32(255)
        z_mean, z_log_var = engine.encode(pixels)
        for ours, theirs in zip((z_mean, z_log_var), trained.model.encoder(pixels), strict=True):
            assert np.abs(ours - theirs.numpy()).max() < 1e-5
        (images,) = engine.generate(z_mean)
        assert np.abs(images - trained.model.generator(z_mean).numpy()).max() < 1e-5
        (levels,) = engine.generate_uint8(z_mean)
        assert levels.dtype == np.uint8
        assert np.abs(levels - images * 255).max() < 0.51
    engine.close()


def test_a_loader_that_runs_the_graph_as_it_stands_finds_every_weight(published):
    """TensorFlow Serving restores through the graph's own restore operation, as the session loader does."""
    import tensorflow as tf

    _, root = published
    for part in ("encoder", "generator"):
        graph = tf.Graph()
        with tf.compat.v1.Session(graph=graph) as session:
            tf.compat.v1.saved_model.loader.load(session, ["serve"], str(root / part / "1"))
            handles = [node.name for node in graph.as_graph_def().node if node.op == "VarHandleOp"]
            ready = [
                session.run(graph.get_operation_by_name(name).outputs[0].op.name + "/Read/ReadVariableOp:0")
                for name in handles
            ]
        assert len(ready) == {"encoder": 6, "generator": 4}[part]


def test_the_report_holds_the_notebooks_pictures_and_tables(published, trained, digits):
    _, root = published
    report = root / "reports" / "1"
    sizes = {path.name: open_picture(path.read_bytes(), 10**7).size for path in report.glob("*.png")}
    assert set(sizes) == {"manifold.png", "latent.png", "history.png", "reconstructions.png", "samples.png"}
    assert sizes["manifold.png"] == (420, 420)
    with (report / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[1]["val_loss"]) == pytest.approx(trained.history[1].validation.loss, abs=1e-3)
    with np.load(report / "latents.npz") as latents:
        assert latents["z_mean"].shape == (200, 2)
        assert np.array_equal(latents["labels"], digits.y_test)


def test_an_export_that_computes_something_else_is_not_published(trained, digits, tmp_path, monkeypatch):
    from training.export import export, savedmodel

    def save_other(model, *arguments):
        kernel = model.generator.trainable_variables[0]
        before = kernel.numpy()
        kernel.assign(before + 0.1)
        real(model, *arguments)
        kernel.assign(before)

    real = savedmodel.save
    monkeypatch.setattr(savedmodel, "save", save_other)
    with pytest.raises(PublishError, match="image differs"):
        export.export(trained, digits, tmp_path)
    assert ModelStore(tmp_path).versions() == []
    assert not list(tmp_path.glob("[!.]*"))


def test_measuring_the_published_version_gives_the_manifests_measures(published, digits):
    from training.evaluation.metrics import evaluate
    from training.export.savedmodel import read_version

    manifest, root = published
    again = evaluate(read_version(ModelStore(root).open()), digits, manifest.seed)
    assert again == pytest.approx(manifest.measures, rel=1e-5)
    assert 0.9 * again["test_loss"] < again["nll"] < again["test_loss"]


def test_the_page_needs_nothing_else(published):
    _, root = published
    page = (root / "reports" / "1" / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 5
    assert "http" not in page
    assert "<script" not in page
    assert "test_loss" in page


def variant(digits, folder, *, shape=28, labels=True, **changed):
    """A model of other sizes, trained for a moment and published."""
    from training.export.export import export
    from training.loop.train import train

    step = 28 // shape
    few = DataSet(
        "variant", digits.x_train[:, ::step, ::step], digits.y_train, digits.x_test[:, ::step, ::step], digits.y_test
    )
    if not labels:
        few = DataSet("variant", few.x_train, None, few.x_test, None)
    return export(train(CONFIG.model_copy(update={"epochs": 1, **changed}), few), few, folder)


@pytest.mark.parametrize("latent_dim", [1, 5])
def test_any_latent_size_is_published_and_its_pictures_say_what_they_show(digits, tmp_path, latent_dim):
    manifest = variant(digits, tmp_path, latent_dim=latent_dim)
    assert manifest.latent_dim == latent_dim
    page = (tmp_path / "reports" / "1" / "report.html").read_text()
    assert ("first two principal directions" in page) == (latent_dim > 2)
    assert (tmp_path / "reports" / "1" / "manifold.png").exists() == (latent_dim > 1)


def test_data_without_classes_is_published_without_colours_or_neighbours(digits, tmp_path):
    manifest = variant(digits, tmp_path, labels=False)
    assert "knn_accuracy" not in manifest.measures
    assert (tmp_path / "reports" / "1" / "latent.png").exists()
    with np.load(tmp_path / "reports" / "1" / "latents.npz") as latents:
        assert set(latents) == {"z_mean"}


async def test_another_image_size_works_from_training_to_the_answer(digits, tmp_path):
    import httpx

    from app.main import create_app
    from app.settings import Settings
    from tests.support.pictures import file_of, on_paper

    variant(digits, tmp_path, shape=14)
    app = create_app(Settings(model_store=tmp_path))
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        answer = await client.post("/generate", json={"z": [0, 0]})
        assert open_picture(answer.content, 10**6).size == (14, 14)
        photo = file_of(on_paper(digits.x_test[0]), "JPEG")
        answer = await client.post("/reconstruct", content=photo, headers={"content-type": "image/jpeg"})
        assert open_picture(answer.content, 10**6).size == (28, 14)
        assert open_picture((await client.get("/manifold.png")).content, 10**6).size == (210, 210)


def test_the_engine_refuses_a_model_without_its_signatures(tmp_path):
    import tensorflow as tf

    from app.errors import CorruptVersion
    from app.models.savedmodel import SavedModelEngine
    from tests.support.fake_store import publish_fake

    publish_fake(tmp_path)
    with pytest.raises(CorruptVersion, match="does not load"):
        SavedModelEngine(ModelStore(tmp_path).open())
    for part in ("encoder", "generator"):
        tf.saved_model.save(tf.Module(), str(tmp_path / part / "1"))
    with pytest.raises(CorruptVersion, match="signature"):
        SavedModelEngine(ModelStore(tmp_path).open())
