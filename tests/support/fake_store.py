"""A store with a version whose files only stand for models; imports little, since many processes begin with it."""

from datetime import UTC, datetime
from pathlib import Path

from app.models.manifest import DataRecord, Manifest, StoredFile
from training.export.publish import publish

D = 2
SHAPE = (28, 28)


def stage_fake(folder: Path) -> None:
    """Files that stand for a pair of SavedModels and a report."""
    for part in ("encoder", "generator"):
        (folder / part / "variables").mkdir(parents=True)
        (folder / part / "saved_model.pb").write_bytes(part.encode())
        (folder / part / "variables" / "variables.index").write_bytes(b"weights")
    (folder / "reports").mkdir()
    (folder / "reports" / "latent.png").write_bytes(b"\x89PNG a latent plot")


def fake_manifest(version: int, files: list[StoredFile]) -> Manifest:
    return Manifest(
        version=version,
        created=datetime(2026, 1, 2, tzinfo=UTC),
        latent_dim=D,
        image_shape=SHAPE,
        training={"preset": "fake"},
        data=DataRecord(name="fake", arrays={}, sha256="0" * 64, train_images=2, test_images=1),
        seed=0,
        packages={},
        measures={"test_loss": 1.0},
        files=files,
    )


def publish_fake(store: Path) -> int:
    return publish(store, stage_fake, fake_manifest)
