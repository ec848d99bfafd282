"""Keys: what a service is told, what a request offers, and that nothing says more than that."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.middleware.auth import MAX_KEY_BYTES, Keyring, credentials
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


@pytest.mark.parametrize(
    ("headers", "offers"),
    [
        ([], []),
        ([(b"authorization", b"Bearer abc")], [b"abc"]),
        ([(b"authorization", b"bearer   abc ")], [b"abc"]),
        ([(b"authorization", b"Basic abc")], []),
        ([(b"authorization", b"Bearer")], []),
        ([(b"authorization", b"Bearer ")], []),
        ([(b"x-api-key", b" abc ")], [b"abc"]),
        ([(b"authorization", b"Basic abc"), (b"x-api-key", b"def")], [b"def"]),
        ([(b"authorization", b"Bearer abc"), (b"x-api-key", b"def")], [b"abc", b"def"]),
        ([(b"x-api-key", b"abc"), (b"x-api-key", b"def")], [b"def"]),
        ([(b"x-api-key", b"a" * 513)], []),
    ],
)
def test_a_key_comes_as_a_bearer_token_or_in_a_header_of_its_own(headers, offers):
    assert credentials(headers) == offers


@given(st.lists(st.tuples(st.sampled_from([b"authorization", b"x-api-key", b"accept"]), st.binary())))
def test_no_headers_are_too_strange_to_look_for_a_key_in(headers):
    secret, key = new_key("ci")
    offers = credentials(headers)
    assert len(offers) <= 2
    assert all(offer and len(offer) <= MAX_KEY_BYTES for offer in offers)
    assert Keyring([key]).key_name(offers) is None
    assert Keyring([key]).key_name([*offers, secret.encode()]) == "ci"


def test_the_holder_is_found_wherever_the_key_stands():
    made = [new_key(name) for name in ("a", "b", "c")]
    ring = Keyring(key for _, key in made)
    assert [ring.key_name([secret.encode()]) for secret, _ in made] == ["a", "b", "c"]
    assert ring.key_name([]) is None
    assert ring.key_name([made[0][0].encode()[:-1]]) is None
    assert ring.key_name([made[0][1].digest]) is None  # who has the hash has no key
    assert ring.key_name([made[0][1].digest.hex().encode()]) is None


def test_every_key_is_compared_to_the_end_whichever_fits(monkeypatch):
    compared = []

    def compare(known, digest):
        compared.append(known)
        return hmac_compare(known, digest)

    hmac_compare = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", compare)
    made = [new_key(name) for name in ("a", "b", "c")]
    ring = Keyring(key for _, key in made)
    for offer in (made[0][0].encode(), made[2][0].encode(), b"none"):
        compared.clear()
        ring.key_name([offer])
        assert compared == [key.digest for _, key in made]
