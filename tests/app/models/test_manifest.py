import json

import pytest
from pydantic import ValidationError

from app.models.manifest import Manifest, StoredFile
from tests.support.fake_store import fake_manifest


@pytest.mark.parametrize("path", ["../etc/passwd", "encoder/../../x", "/etc/passwd", "manifests/1.json", ""])
def test_a_manifest_names_no_file_outside_the_models(path):
    with pytest.raises(ValidationError):
        StoredFile(path=path, size=0, sha256="0" * 64)


def test_the_manifest_on_disk_is_plain_json(store):
    manifest = json.loads((store / "manifests" / "1.json").read_text())
    assert manifest["version"] == 1
    assert {file["path"].split("/")[0] for file in manifest["files"]} == {"encoder", "generator"}


FILES = [StoredFile(path=f"{part}/1/saved_model.pb", size=7, sha256="0" * 64) for part in ("encoder", "generator")]


def test_a_manifest_reads_back_as_it_was_written_and_does_not_change():
    manifest = fake_manifest(1, FILES)
    assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest
    with pytest.raises(ValidationError, match="frozen"):
        manifest.version = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    "change",
    [{"version": 0}, {"latent_dim": 0}, {"image_shape": [28]}, {"files": []}, {"created": "soon"}, {"surplus": 1}],
    ids=str,
)
def test_a_manifest_with_an_impossible_or_unknown_field_is_refused(change):
    document = fake_manifest(1, FILES).model_dump(mode="json")
    with pytest.raises(ValidationError):
        Manifest.model_validate(document | change)


@pytest.mark.parametrize("digest", ["", "0" * 63, "0" * 65, "A" * 64, "g" * 64])
def test_a_digest_is_64_small_hex_digits(digest):
    with pytest.raises(ValidationError):
        StoredFile(path="encoder/1/saved_model.pb", size=0, sha256=digest)
