"""The proxy before the servers: what it hands on, what it answers itself, and what it keeps from them."""

import csv
import io
import json
import re
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from PIL import Image

from tests.containers.project import Project, begun, inspected, run
from tests.e2e.slow_clients import (
    HALF_A_BODY,
    HALF_A_HEADER,
    HALF_AN_UPLOAD,
    connections,
    everything,
    request,
)

pytestmark = [pytest.mark.container, pytest.mark.slow]

SERVER = "proxied-cpu"
LIMIT = 2**20  # not the default, to see that it is heeded


@pytest.fixture(scope="module")
def project(
    image: str, proxy_image: str, compose_command: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    settings = (("VAE_MAX_BODY_BYTES", str(LIMIT)), ("VAE_ACCESS_LOG", "true"))
    data = tmp_path_factory.mktemp("data")
    with begun(compose_command, data, service=SERVER, proxy_image=proxy_image, settings=settings) as project:
        yield project


@pytest.fixture
def client(service: Project) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=30) as client:
        yield client


def direct(service: Project) -> str:
    """The server's own address, which this host reaches because it hosts it."""
    networks = service.state()["NetworkSettings"]["Networks"].values()
    return f"http://{next(iter(networks))['IPAddress']}:8000"


def test_answers_come_through_as_they_are(service: Project, client: httpx.Client):
    for base in (direct(service), service.url):
        generated = httpx.post(f"{base}/generate", json={"z": [0, 0]}, headers={"x-request-id": "mine-1"})
        assert generated.status_code == 200
        assert generated.headers["x-request-id"] == "mine-1"
        with Image.open(io.BytesIO(generated.content), formats=["PNG"]) as picture:
            assert picture.size == (28, 28)
    large = client.post("/generate", json={"sample": 1000, "seed": 1}, headers={"accept": "application/x-npy"})
    assert len(large.content) > 1000 * 28 * 28
    encoded = client.post("/encode", content=large.content, headers={"content-type": "application/x-npy"})
    assert len(encoded.json()["z_mean"]) == 1000


def test_the_services_own_errors_come_through_as_they_are(service: Project):
    wrong = {"json": {"z": [0, 0, 0]}, "headers": {"x-request-id": "mine-2"}}
    answers = [httpx.post(f"{base}/generate", **wrong) for base in (direct(service), service.url)]
    assert answers[0].status_code == answers[1].status_code == 422
    assert answers[0].json() == answers[1].json()
    kept = [{name: value for name, value in each.headers.items() if name != "date"} for each in answers]
    assert kept[0] == kept[1]


def test_the_server_is_told_who_called_and_believes_nobody_elses_word(service: Project, client: httpx.Client):
    path = f"/{uuid.uuid4().hex}"
    client.get(path, headers={"x-forwarded-for": "203.0.113.9", "forwarded": "for=203.0.113.9"})
    (line,) = [line for line in run("docker", "logs", service.server).splitlines() if path in line]
    (network,) = inspected(service.proxy)["NetworkSettings"]["Networks"].values()
    assert network["Gateway"] in line  # where calls from this host come from
    assert "203.0.113.9" not in line
    assert network["IPAddress"] not in line


def raw(port: int, sent: bytes) -> bytes:
    with connections(port, sent, 1) as (connection,):
        return everything(connection)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (request("/metrics"), 404),
        (b"POST /encode HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % (LIMIT + 1), 413),
        (request("/readyz").replace(b"\r\n\r\n", b"\r\nx-long: " + b"x" * 40_000 + b"\r\n\r\n"), 431),
    ],
    ids=["the counts", "a large body", "large headers"],
)
def test_what_the_proxy_refuses_it_refuses_with_a_problem_document(service: Project, sent: bytes, status: int):
    check_problem(raw(service.port, sent), status)


def check_problem(answer: bytes, status: int) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert re.search(rb"(?i)^content-type: application/problem\+json\r?$", head, re.MULTILINE)
    document = json.loads(body)
    assert document["status"] == status
    assert {"type", "title", "detail", "code"} <= document.keys()


def test_without_a_server_the_answer_is_unavailable_and_back_with_it_is_served(service: Project):
    service.compose("stop", SERVER)
    answer = raw(service.port, request("/readyz"))
    check_problem(answer, 503)
    assert b"retry-after: 1" in answer.lower()
    service.compose("start", SERVER)
    service.wait_until_all_healthy()
    assert httpx.get(f"{service.url}/readyz").status_code == 200


def counted(service: Project, route: str) -> int:
    """How many requests the server has had."""
    text = httpx.get(f"{direct(service)}/metrics").text
    pattern = rf'^digit_vae_requests_total{{.*route="{re.escape(route)}".*}} (\d+)'
    return sum(map(int, re.findall(pattern, text, re.MULTILINE)))


def all_well(url: str, requests: int) -> Callable[[], bool]:
    """Good traffic on one connection."""

    def send() -> bool:
        with httpx.Client(base_url=url, timeout=30) as client:
            return all(client.post("/generate", json={"z": [0, 0]}).status_code == 200 for _ in range(requests))

    return send


def test_half_requests_never_reach_the_server_and_are_ended(service: Project):
    before = counted(service, "/generate")
    with (
        connections(service.port, HALF_A_HEADER, 300) as headers,
        connections(service.port, HALF_A_BODY, 300) as bodies,
        ThreadPoolExecutor(4) as pool,
    ):
        good = [pool.submit(all_well(service.url, 50)) for _ in range(4)]
        assert all(each.result(60) for each in good)
        assert counted(service, "/generate") == before + 4 * 50
        assert everything(headers[-1]).startswith(b"HTTP/1.1 408 ")
        check_problem(everything(bodies[-1]), 408)
    assert counted(service, "/generate") == before + 4 * 50


def test_answers_that_nobody_reads_are_done_with_for_the_server(service: Project):
    route = "/manifold.png"
    before = counted(service, route)
    with connections(service.port, request(route), 200) as readers, ThreadPoolExecutor(4) as pool:
        good = [pool.submit(all_well(service.url, 50)) for _ in range(4)]
        assert all(each.result(60) for each in good)
        assert counted(service, route) == before + 200  # counted once an answer is sent
        assert everything(readers[-1]).startswith(b"HTTP/1.1 200 ")


def test_large_uploads_that_stall_hold_a_few_places_only(service: Project):
    with connections(service.port, HALF_AN_UPLOAD, 300):
        assert all_well(service.url, 50)()
        assert 0 < under_way(service, "uploads") <= 64


def under_way(service: Project, backend: str) -> int:
    """Requests that a server has of the proxy by one of its two ways."""
    said = run("docker", "exec", service.proxy, "bash", "/usr/local/etc/haproxy/admin-get", "/servers;csv")
    rows = csv.DictReader(said[said.index("# pxname") + 2 :].splitlines())
    return sum(int(row["scur"]) for row in rows if row["pxname"] == backend and row["svname"].startswith("server"))


def test_the_proxy_is_confined_as_the_servers_are(service: Project):
    found = inspected(service.proxy)
    assert 0 < found["HostConfig"]["Memory"] == found["HostConfig"]["MemorySwap"]
    assert found["HostConfig"]["PidsLimit"] > 0
    look = "cat /proc/[0-9]*/status; touch /x /etc/x /usr/local/etc/haproxy/x && echo written"
    status = run("docker", "exec", service.proxy, "bash", "-c", f"{look}; true")
    assert "written" not in status
    assert status.count("Read-only file system") == 3
    assert set(re.findall(r"^[UG]id:\t(.*)$", status, re.MULTILINE)) == {"99\t99\t99\t99"}
    assert {int(each, 16) for each in re.findall(r"^Cap\w+:\t(\w+)$", status, re.MULTILINE)} == {0}
    assert set(re.findall(r"^NoNewPrivs:\t(\d)$", status, re.MULTILINE)) == {"1"}
