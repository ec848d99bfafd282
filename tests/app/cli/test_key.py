"""Keys on the command line: made, kept, and sent."""

from pathlib import Path

import pytest

from app.cli.__main__ import main
from app.middleware.auth import Keyring
from app.settings.api_keys import parse_keys, read_keys


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
