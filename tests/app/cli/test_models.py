import json
from pathlib import Path

import pytest

from app.cli.__main__ import main
from app.models.store import ModelStore
from tests.support.fake_store import publish_fake


@pytest.fixture
def models(store, tmp_path, monkeypatch):
    """Runs `models` on a store with two versions."""
    publish_fake(store)
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: main(["models", *arguments, "--store", str(store)])


def test_list_has_a_line_for_every_version(models, capsys):
    assert models("list") == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split()[:2] == ["version", "published"]
    assert [line.split() for line in lines] == [
        [number, "2026-01-02", "00:00", "2", "28x28", "fake", "1.00"] for number in ("1", "2")
    ]


def test_show_prints_the_manifest(models, store, capsys):
    for arguments, number in ((["show"], 2), (["show", "1"], 1)):
        assert models(*arguments) == 0
        shown = json.loads(capsys.readouterr().out)
        assert shown == json.loads((store / "manifests" / f"{number}.json").read_text())


def test_show_asks_a_service(url, capsys):
    assert main(["models", "show", "--url", url]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == 1
    assert main(["models", "show", "7", "--url", url]) == 1
    assert "serves version 1, not 7" in capsys.readouterr().err


def test_verify_finds_the_damaged_version(models, store, capsys):
    assert models("verify") == 0
    assert capsys.readouterr().out.splitlines() == [f"version {n}: 4 files, as published" for n in (1, 2)]
    (store / "encoder" / "2" / "saved_model.pb").write_bytes(b"evil")
    assert models("verify", "1") == 0
    assert models("verify") == 1
    assert capsys.readouterr().err.startswith("error: encoder/2/saved_model.pb differs from its manifest")


def test_pin_prints_the_setting(models, capsys):
    assert models("pin", "1") == 0
    assert capsys.readouterr().out == "export VAE_MODEL_VERSION=1\n"


def test_pin_sets_it_in_a_file_and_leaves_the_rest(models):
    assert models("pin", "2", "-o", ".env") == 0
    assert Path(".env").read_text() == "VAE_MODEL_VERSION=2\n"
    Path(".env").write_text("# mine\nVAE_PORT=80\nVAE_MODEL_VERSION=2\nVAE_MEMORY=2g\n")
    assert models("pin", "1", "-o", ".env") == 0
    assert Path(".env").read_text() == "# mine\nVAE_PORT=80\nVAE_MODEL_VERSION=1\nVAE_MEMORY=2g\n"


def test_a_version_that_is_not_whole_is_not_pinned(models, store, capsys):
    (store / "generator" / "1" / "saved_model.pb").unlink()
    assert models("pin", "1", "-o", ".env") == 1
    assert models("pin", "3", "-o", ".env") == 1
    assert "Version 3 is not in" in capsys.readouterr().err
    assert not Path(".env").exists()


@pytest.mark.parametrize("action", ["list", "verify", "show"])
def test_an_empty_store_is_told(action, tmp_path, capsys):
    assert main(["models", action, "--store", str(tmp_path)]) == 1
    assert "No version is published" in capsys.readouterr().err


def test_pin_in_store_is_what_services_of_the_store_follow(models, store, capsys):
    assert models("pin", "1", "--in-store") == 0
    assert ModelStore(store).chosen() == 1
    assert "version 1 is pinned" in capsys.readouterr().out
    assert models("list") == 0
    assert [line.endswith("pinned") for line in capsys.readouterr().out.splitlines()[1:]] == [True, False]
    assert models("unpin") == 0
    assert ModelStore(store).chosen() == 2
    assert models("unpin") == 0


def test_a_pin_in_the_store_is_replaced_whole(models, store, capsys):
    assert models("pin", "1", "--in-store") == 0
    (store / "generator" / "2" / "saved_model.pb").unlink()
    assert models("pin", "2", "--in-store") == 1
    assert "error: " in capsys.readouterr().err
    assert (store / "pin").read_text() == "1\n"
    assert not list(store.glob(".pin*"))


def test_a_pin_that_cannot_be_written_is_told(models, store, capsys):
    (store / "pin").mkdir()
    for arguments in (["pin", "1", "--in-store"], ["unpin"]):
        assert models(*arguments) == 1
        assert f"{store / 'pin'}: Is a directory." in capsys.readouterr().err


def test_a_file_of_settings_keeps_what_is_no_utf8(models, tmp_path):
    settings = tmp_path / ".env"
    settings.write_bytes(b"OWNER=Andr\xe9\n")
    assert models("pin", "1", "-o", str(settings)) == 0
    assert settings.read_bytes() == b"OWNER=Andr\xe9\nVAE_MODEL_VERSION=1\n"
