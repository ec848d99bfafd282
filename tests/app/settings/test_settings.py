import pytest
from pydantic import ValidationError

from app.cli import serve
from app.settings import Settings
from app.settings.api_keys import new_key
from app.settings.values import Rate

SECRET, KEY = new_key("ci")
OTHER, OTHER_KEY = new_key("web")


def test_settings_read_the_environment_and_repeat_nothing_of_it(monkeypatch, tmp_path):
    monkeypatch.setenv("VAE_API_KEYS", f"{KEY},{OTHER_KEY}")
    monkeypatch.setenv("VAE_RATE_LIMIT", "100/s")
    monkeypatch.setenv("VAE_CORS_ORIGINS", "https://example.org")
    monkeypatch.setenv("VAE_DOCS", "off")
    settings = Settings()
    assert settings.all_keys == (KEY, OTHER_KEY)
    assert settings.rate_limit == Rate(100, "s")
    assert settings.cors_origins == ("https://example.org",)
    assert settings.docs is False
    assert KEY.digest.hex() not in repr(settings)
    monkeypatch.setenv("VAE_API_KEYS", SECRET)
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert SECRET not in f"{refused.value!s}{refused.value!r}"


@pytest.mark.parametrize(
    ("name", "value"),
    [("VAE_API_KEYS", SECRET), ("VAE_API_KEYS", ""), ("VAE_API_KEYS_FILE", "missing"), ("VAE_RATE_LIMIT", "fast"),
     ("VAE_CORS_ORIGINS", "example.org"), ("VAE_TRUSTED_PROXIES", "proxy"), ("VAE_METRICS", "secret")],
    ids=["a key itself", "no key", "no file", "rate", "origin", "proxy", "metrics"],
)  # fmt: skip
def test_a_wrong_setting_keeps_the_service_from_starting_in_one_line(name, value, monkeypatch, capsys):
    monkeypatch.setenv(name, value)
    assert serve.main([]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith(f"error: {name}: ")
    assert len(shown.splitlines()) == 1
    assert SECRET not in shown


def test_the_format_is_text_unless_json_is_named(monkeypatch):
    assert (Settings().log_format, Settings().access_lines) == ("text", False)
    monkeypatch.setenv("VAE_LOG_FORMAT", "json")
    monkeypatch.setenv("VAE_ACCESS_LOG", "false")
    assert (Settings().log_format, Settings().access_lines) == ("json", False)
    monkeypatch.setenv("VAE_LOG_FORMAT", "yaml")
    with pytest.raises(ValueError, match="text"):
        Settings()


@pytest.mark.parametrize(
    ("changes", "fits"),
    [
        ({"max_queue": 4096}, True),
        ({"max_queue": 4095}, False),
        ({"max_queue": 100, "max_rows": 100, "max_manifold_n": 10}, True),
        ({"max_queue": 100, "max_rows": 100, "max_manifold_n": 11}, False),
        ({"max_queue": 100, "max_rows": 101, "max_manifold_n": 10}, False),
    ],
)
def test_the_queue_has_room_for_the_largest_request(changes, fits):
    if fits:
        assert Settings(**changes).max_queue == changes["max_queue"]
    else:
        with pytest.raises(ValidationError, match="max_queue must be at least"):
            Settings(**changes)


def test_settings_do_not_change_once_they_are_read():
    with pytest.raises(ValidationError, match="frozen"):
        Settings().max_rows = 1  # type: ignore[misc]
