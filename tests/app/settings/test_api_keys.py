"""Keys: what a service is told of them, and that nothing says more than that."""

import hashlib

import pytest

from app.settings.api_keys import new_key, parse_keys, read_keys

HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


def test_a_new_key_is_long_random_and_known_by_its_hash():
    secret, key = new_key("ci")
    assert secret.startswith("vae_")
    assert len(secret) >= 40
    assert str(key) == f"ci:{hashlib.sha256(secret.encode()).hexdigest()}"
    assert new_key("ci")[0] != secret
    assert parse_keys(str(key)) == (key,)


@pytest.mark.parametrize("name", ["", "a b", "a,b", "a:b", "x" * 65, "é", "a\n"])
def test_a_name_is_a_word(name):
    with pytest.raises(ValueError, match="name"):
        new_key(name)


def test_keys_stand_in_a_list_or_in_lines_with_comments():
    text = f"# the old one\nci:{HASH}, web:{HASH.upper()} # until May\n\nci:{'0' * 64},"
    assert [key.name for key in parse_keys(text)] == ["ci", "web", "ci"]
    assert parse_keys(text)[0].digest == parse_keys(text)[1].digest == bytes.fromhex(HASH)


@pytest.mark.parametrize(
    "text", ["", " , ", "# none", "vae_plain-key", f"ci:{HASH}0", f":{HASH}", f"ci:{HASH},hunter2"]
)
def test_what_is_no_key_is_refused_without_being_repeated(text):
    with pytest.raises(ValueError, match="digit-vae key") as refused:
        parse_keys(text)
    assert not any(word in str(refused.value) for word in ("plain", "hunter2", HASH))


def test_a_file_that_cannot_be_read_is_told_without_its_path(tmp_path):
    with pytest.raises(ValueError, match="cannot be read") as refused:
        read_keys(tmp_path / "missing")
    assert str(tmp_path) not in str(refused.value)
    (tmp_path / "strange").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="NAME:HASH"):
        read_keys(tmp_path / "strange")
