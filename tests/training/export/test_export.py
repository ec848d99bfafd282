import numpy as np
import pytest

from app.imaging.decode import open_picture
from app.models.store import ModelStore
from tests.support.small_dataset import CONFIG
from training.data.dataset import DataSet
from training.errors import PublishError

pytestmark = pytest.mark.slow


def test_the_version_verifies_and_its_manifest_says_what_it_is(exported):
    manifest, root = exported
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


def test_the_engine_computes_what_was_trained(exported, trained, digits):
    from app.models.savedmodel import SavedModelEngine

    _, root = exported
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
