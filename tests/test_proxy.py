"""The proxy's files agree with the service: its limit, the form of its errors."""

import json
import re

import pytest

from app.errors import BodyTimeout, BodyTooLarge, DigitVaeError, HeadersTooLarge, NotFound, Unavailable
from app.settings import Settings
from tests.support.paths import ROOT

PROXY = ROOT / "deploy" / "haproxy"
CONFIGURATION = (PROXY / "haproxy.cfg").read_text()
ERRORS = sorted((PROXY / "errors").iterdir())
KINDS = (BodyTimeout, BodyTooLarge, DigitVaeError, HeadersTooLarge, NotFound, Unavailable)
AS_THE_SERVICES = {kind.status: kind for kind in KINDS}


def number(pattern: str) -> int:
    """What the configuration has at the group of a pattern that is there once."""
    (found,) = re.findall(pattern, CONFIGURATION)
    return int(found)


@pytest.mark.parametrize("name", ["max_body_bytes", "max_header_bytes"])
def test_the_proxy_takes_requests_as_large_as_the_service_does(name):
    assert number(rf"presetenv VAE_{name.upper()} (\d+)") == Settings.model_fields[name].default


def test_what_is_no_upload_fits_into_a_buffer():
    room = number(r"tune.bufsize (\d+)") - number(r"tune.maxrewrite (\d+)")
    uploads = number(r"use_backend uploads if { req.body_size gt (\d+) }")
    assert uploads + number(r"presetenv VAE_MAX_HEADER_BYTES (\d+)") < room


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
