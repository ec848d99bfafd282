import pytest

from app.cli.__main__ import main
from app.main import create_app
from app.settings import Settings
from app.settings.api_keys import new_key
from tests.app.cli.test_encode import rows
from tests.support.fake_store import publish_fake
from tests.support.fakes import FakeEngine
from tests.support.live import serving_in_thread
from tests.support.pictures import file_of

SECRET, KEY = new_key("ci")


def test_a_service_that_is_not_there_is_one_line(digit, tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(file_of(digit))
    assert main(["encode", str(tmp_path / "a.png"), "--url", "http://127.0.0.1:9"]) == 1
    assert "http://127.0.0.1:9 cannot be reached" in capsys.readouterr().err


def test_the_address_may_come_from_the_environment(url, digit, tmp_path, monkeypatch, capsys):
    (tmp_path / "a.png").write_bytes(file_of(digit))
    monkeypatch.setenv("VAE_URL", url)
    assert main(["encode", str(tmp_path / "a.png")]) == 0
    assert len(rows(capsys.readouterr().out)) == 1
    monkeypatch.setenv("VAE_URL", "nonsense")
    assert main(["encode", str(tmp_path / "a.png")]) == 1
    assert "http://HOST:PORT" in capsys.readouterr().err


def test_a_version_goes_with_a_store(url, shared, digit, tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(file_of(digit))
    for wrong in (["--url", url, "--version", "1"], ["--store", str(shared), "--version", "0"]):
        with pytest.raises(SystemExit) as left:
            main(["encode", str(tmp_path / "a.png"), *wrong])
        assert left.value.code == 2
        assert "--version" in capsys.readouterr().err
    assert main(["encode", str(tmp_path / "a.png"), "--store", str(shared), "--version", "9"]) == 1
    assert "Version 9 is not in" in capsys.readouterr().err
    assert main(["encode", str(tmp_path / "a.png"), "--store", str(tmp_path)]) == 1
    assert "No version is published" in capsys.readouterr().err


def test_the_store_is_used_in_the_version_that_is_pinned(store, digit, tmp_path, monkeypatch):
    publish_fake(store)
    (tmp_path / "a.png").write_bytes(file_of(digit))
    opened = []
    for arguments in ([], ["--version", "2"]):
        monkeypatch.setenv("VAE_MODEL_VERSION", "1")
        command = ["encode", str(tmp_path / "a.png"), "--store", str(store), *arguments]
        assert main(command, lambda stored, settings: opened.append(stored.version) or FakeEngine()) == 0
    assert opened == [1, 2]


@pytest.fixture(scope="module")
def locked(shared):
    app = create_app(Settings(model_store=shared, api_keys=(KEY,)), lambda stored, settings: FakeEngine())
    with serving_in_thread(app) as address:
        yield address


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
