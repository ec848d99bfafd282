"""Keys on the command line: made, kept, and sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.cli.__main__ import main
from app.main import create_app
from app.middleware.auth import Keyring
from app.settings import Settings
from app.settings.api_keys import new_key, parse_keys, read_keys
from tests.support.fakes import FakeEngine
from tests.support.live import serving_in_thread

SECRET, KEY = new_key("ci")


@pytest.fixture(scope="module")
def locked(shared):
    app = create_app(Settings(model_store=shared, api_keys=(KEY,)), lambda stored, settings: FakeEngine())
    with serving_in_thread(app) as address:
        yield address


def printed(capsys) -> dict[str, str]:
    return dict(line.split("=", 1) for line in capsys.readouterr().out.splitlines())


def test_key_prints_what_caller_and_service_are_told(capsys):
    assert main(["key", "ci"]) == 0
    told = printed(capsys)
    assert Keyring(parse_keys(told["VAE_API_KEYS"])).key_name([told["VAE_API_KEY"].encode()]) == "ci"


def test_key_adds_the_hash_to_a_file_and_prints_the_key_alone(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("keys").write_text("# ours")
    made = []
    for name in ("ci", "web"):
        assert main(["key", name, "--append", "keys"]) == 0
        told = printed(capsys)
        assert set(told) == {"VAE_API_KEY"}
        made.append(told["VAE_API_KEY"].encode())
    kept = Keyring(read_keys("keys"))
    assert [kept.key_name([secret]) for secret in made] == ["ci", "web"]
    assert Path("keys").read_text().startswith("# ours\n")


def test_a_name_that_is_none_is_a_wrong_command_line(capsys):
    with pytest.raises(SystemExit) as left:
        main(["key", "a b"])
    assert left.value.code == 2
    assert "name" in capsys.readouterr().err


def test_commands_send_the_key(locked, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    commands = [["generate", "--z", "0,0", "-o", "a.png"], ["models", "show"], ["manifold", "--n", "2", "-o", "b.png"]]
    for command in commands:
        asked = [*command, "--url", locked]
        assert main(asked) == 1
        assert "asks for a key" in capsys.readouterr().err
        assert main([*asked, "--api-key", "vae_wrong"]) == 1
        assert "vae_wrong" not in capsys.readouterr().err
        assert main([*asked, "--api-key", SECRET]) == 0
        with monkeypatch.context() as patch:
            patch.setenv("VAE_API_KEY", SECRET)
            assert main(asked) == 0
        capsys.readouterr()


def test_a_command_on_the_store_asks_nobody_for_a_key(shared, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VAE_API_KEYS", str(KEY))
    monkeypatch.setenv("VAE_RATE_LIMIT", "1/h")
    command = ["generate", "--z", "0,0", "--z", "1,1", "-o", "a.npy", "--store", str(shared)]
    assert main(command, lambda stored, settings: FakeEngine()) == 0
