"""The proxy's files agree with the service: its limit, the form of its errors."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from app.errors import BodyTooLarge, DigitVaeError, NotFound, Unavailable
from app.settings import Settings

PROXY = Path(__file__).parent.parent / "proxy"
CONFIGURATION = (PROXY / "haproxy.cfg").read_text()
ERRORS = sorted((PROXY / "errors").iterdir())
AS_THE_SERVICES = {kind.status: kind for kind in (BodyTooLarge, DigitVaeError, NotFound, Unavailable)}


def test_the_proxy_takes_bodies_as_large_as_the_service_does():
    (default,) = re.findall(r"presetenv VAE_MAX_BODY_BYTES (\d+)", CONFIGURATION)
    assert int(default) == Settings.model_fields["max_body_bytes"].default


def test_every_error_of_the_proxy_is_used():
    used = re.findall(r"file /usr/local/etc/haproxy/errors/(\S+)", CONFIGURATION)
    assert sorted(used) == [path.name for path in ERRORS]


@pytest.mark.parametrize("path", ERRORS, ids=lambda path: path.stem)
def test_every_error_of_the_proxy_has_the_form_of_the_services(path):
    document = json.loads(path.read_text())
    assert document["status"] == int(path.stem)
    assert document["type"] == f"urn:digit-vae:problem:{document['code']}"
    assert document["error"] == document["detail"]  # as the serving protocols have it
    if kind := AS_THE_SERVICES.get(document["status"]):
        assert (document["code"], document["title"]) == (kind.code, kind.title)
