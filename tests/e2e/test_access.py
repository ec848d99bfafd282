"""Keys and rates on the real server: several workers, real connections, and a key that is replaced while it serves."""

import signal
import time

import httpx
import pytest

from app.settings.api_keys import new_key
from tests.support.paths import ROOT
from tests.support.server import serving

pytestmark = pytest.mark.slow

Z = {"z": [0.0, 0.0]}
START_S = 60


def status(url: str, secret: str) -> int:
    """Of a call on a connection of its own; 0 if a worker that is being replaced resets it."""
    try:
        return httpx.get(f"{url}/model", headers={"x-api-key": secret}).status_code
    except httpx.TransportError:
        return 0


def statuses(url: str, secret: str) -> set[int]:
    """Of so many calls that every worker is met."""
    return {status(url, secret) for _ in range(20)}


def wait_for(url: str, secret: str, wanted: set[int]) -> None:
    until = time.monotonic() + START_S
    while (met := statuses(url, secret)) != wanted:
        assert time.monotonic() < until, met
        time.sleep(0.2)


def test_a_key_is_replaced_while_workers_serve(tmp_path):
    old, new = (new_key("ci") for _ in range(2))
    file = tmp_path / "keys"
    file.write_text(f"{old[1]}\n{new[1]}\n")
    log = tmp_path / "log"
    with serving(ROOT / "model_store", log, "--workers", "2", VAE_API_KEYS_FILE=str(file)) as server:
        assert statuses(server.url, new[0]) == statuses(server.url, old[0]) == {200}
        file.write_text(f"{new[1]}\n")
        server.process.send_signal(signal.SIGHUP)
        wait_for(server.url, old[0], {401})
        wait_for(server.url, new[0], {200})
        assert server.stop() == 0
    shown = log.read_text()
    assert "keys: ci;" in shown
    assert not any(secret in shown or key.digest.hex() in shown for secret, key in (old, new))


def test_the_rate_is_that_of_the_caller_behind_a_proxy_and_a_refused_body_resets_nothing(tmp_path):
    environment = {"VAE_RATE_LIMIT": "2/h", "VAE_TRUSTED_PROXIES": "127.0.0.1"}
    arguments = ("--workers", "1", "--access-log")
    with serving(ROOT / "model_store", tmp_path / "log", *arguments, **environment) as server, httpx.Client() as client:

        def call(caller: str, content: bytes = b'{"z": [0, 0]}') -> int:
            headers = {"x-forwarded-for": caller, "content-type": "application/json"}
            answer = client.post(f"{server.url}/generate", content=content, headers=headers)
            assert "server" not in answer.headers
            return answer.status_code

        assert [call("192.0.2.1") for _ in range(3)] == [200, 200, 429]
        assert [call("192.0.2.2") for _ in range(3)] == [200, 200, 429]
        assert call("203.0.113.9, 192.0.2.1") == 429  # what a caller claims stands before what the proxy saw
        assert [call("192.0.2.1", bytes(8 * 2**20)) for _ in range(5)] == [429] * 5
        assert [call("192.0.2.3") for _ in range(2)] == [200, 200]
