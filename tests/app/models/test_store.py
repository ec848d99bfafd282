import os

import pytest

from app.errors import CorruptVersion, NoSuchVersion
from app.models.store import ModelStore
from tests.support.fake_store import publish_fake


def test_the_newest_version_wins_by_number_not_by_name(store):
    for _ in range(10):
        publish_fake(store)
    assert ModelStore(store).versions() == list(range(1, 12))
    assert ModelStore(store).open().version == 11


def test_a_version_can_be_pinned(store):
    publish_fake(store)
    assert ModelStore(store).open(1).version == 1


def test_a_version_that_is_not_there_is_named_with_those_that_are(store):
    with pytest.raises(NoSuchVersion, match=r"Version 7 .* there are 1"):
        ModelStore(store).open(7)


def test_an_empty_store_says_how_to_fill_it(tmp_path):
    with pytest.raises(NoSuchVersion, match="python -m training"):
        ModelStore(tmp_path / "nowhere").open()


def test_models_without_a_manifest_are_no_version(store):
    (store / "encoder" / "9").mkdir()
    (store / "manifests" / "notes.json").write_text("{}")
    assert ModelStore(store).versions() == [1]


def test_a_published_version_verifies(store):
    ModelStore(store).open().verify()


def flip(path):
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)


def replace_by_link(path):
    other = path.with_name("elsewhere")
    other.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(other)


@pytest.mark.parametrize(
    "damage",
    [
        flip,
        os.remove,
        replace_by_link,
        lambda path: path.write_bytes(b""),
        lambda path: path.with_name("surplus").write_bytes(b"x"),
    ],
)
def test_damage_is_found(damage, store):
    damage(store / "generator" / "1" / "variables" / "variables.index")
    with pytest.raises(CorruptVersion):
        ModelStore(store).open().verify()


@pytest.mark.parametrize("text", ["", "{", "{}", '{"version": 2}'])
def test_a_manifest_that_does_not_parse_is_corrupt(text, store):
    (store / "manifests" / "1.json").write_text(text)
    with pytest.raises(CorruptVersion):
        ModelStore(store).open()


def test_a_manifest_must_speak_of_its_own_version(store):
    text = (store / "manifests" / "1.json").read_text()
    (store / "manifests" / "2.json").write_text(text)
    with pytest.raises(CorruptVersion, match="speaks of version 1"):
        ModelStore(store).open(2)
