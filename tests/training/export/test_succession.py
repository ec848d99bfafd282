"""What training says of the version that a publish replaces: none takes another's place unseen."""

import shlex
from pathlib import Path

import pytest

from app.cli.__main__ import main
from app.models.manifest import Manifest, StoredFile
from app.models.store import ModelStore
from tests.support.fake_store import fake_manifest, publish_fake, stage_fake
from training.export.publish import next_version, publish
from training.export.succession import Succession


def publish_measured(store: Path, loss: float, images: str = "a", data: str = "mnist") -> Manifest:
    """A version with this test loss on these test images."""
    made: list[Manifest] = []

    def describe(version: int, files: list[StoredFile]) -> Manifest:
        plain = fake_manifest(version, files)
        record = plain.data.model_copy(update={"name": data, "arrays": {"x_test": images}})
        made.append(plain.model_copy(update={"measures": {"test_loss": loss}, "data": record}))
        return made[-1]

    publish(store, stage_fake, describe)
    return made[-1]


def replaced(store: Path, loss: float, images: str = "a") -> str:
    """What is said after one more publish."""
    before = Succession.of(store)
    return "\n".join(before.summary(publish_measured(store, loss, images, "mnist" if images == "a" else "mine")))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The default store, as a path from here."""
    monkeypatch.chdir(tmp_path)
    return Path("model_store")


def test_before_training_it_is_said_what_will_be_served(place):
    assert Succession.of(place).preview(next_version(place)) == ["version 1 will be published in model_store"]
    publish_fake(place)
    assert Succession.of(place).preview(next_version(place)) == [
        "version 2 will be published in model_store",
        "it will be served in place of version 1; --store DIR keeps it apart",
    ]
    main(["models", "pin", "1", "--in-store"])
    assert Succession.of(place).preview(2)[1] == "version 1 is pinned there and stays served"


def test_a_worse_version_is_named_with_both_numbers(place):
    publish_measured(place, 130.97)
    said = replaced(place, 161.3)
    assert "serve version 2" in said
    assert "warning: version 2 is worse than version 1:\n  test loss 161.30 against 130.97 on the same images" in said


def test_a_better_one_is_compared_without_a_warning(place):
    publish_measured(place, 161.3)
    said = replaced(place, 130.97)
    assert "test loss of version 1 on the same images: 161.30" in said
    assert "warning" not in said


def test_other_images_do_not_compare(place):
    publish_measured(place, 130.97)
    said = replaced(place, 206.7, images="b")
    assert "test loss of version 1, on other images (mnist): 130.97" in said
    assert "worse" not in said


@pytest.mark.parametrize("named", ["model_store", "a folder/store"])
def test_the_command_that_is_named_goes_back(place, named):
    store = Path(named)
    publish_measured(store, 130.97)
    said = replaced(store, 161.3).splitlines()
    assert ModelStore(store).chosen() == 2
    assert said[-2] == "to go back to version 1:"
    _, *arguments = shlex.split(said[-1])
    assert main(arguments) == 0
    assert ModelStore(store).chosen() == 1
    assert ("--store" in arguments) == (named != "model_store")


def test_with_a_pin_the_command_that_changes_over_is_named(place):
    publish_measured(place, 130.97)
    main(["models", "pin", "1", "--in-store"])
    said = replaced(place, 120.0).splitlines()
    assert "go on serving version 1, which is pinned" in "\n".join(said)
    assert ModelStore(place).chosen() == 1
    assert main(shlex.split(said[-1])[1:]) == 0
    assert ModelStore(place).chosen() == 2


def test_a_first_version_elsewhere_is_said_how_to_serve(place):
    said = replaced(Path("my models"), 130.97)
    assert "serve version 1" in said
    assert "VAE_MODEL_STORE='my models' " in said
    assert "VAE_MODEL_STORE" not in replaced(place, 130.97)


def test_a_pin_that_nobody_can_follow_is_told(place):
    publish_measured(place, 130.97)
    (place / "pin").write_text("7\n")
    assert "Version 7 is not in model_store" in "\n".join(Succession.of(place).preview(2))
    assert "Version 7 is not in model_store" in replaced(place, 161.3)


def test_every_line_fits_where_the_path_does(place):
    publish_measured(place, 130.97)
    lines = [*Succession.of(place).preview(2), *replaced(place, 161.3).splitlines()]
    assert all(len(line) <= 80 for line in lines if "digit-vae" not in line)
