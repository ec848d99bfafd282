"""scripts/roll: another image behind the proxy, without a failed request, and whatever goes wrong without harm."""

import io
import signal
import subprocess
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest
from PIL import Image

from tests.containers.project import Project, begun, built, run
from tests.support.paths import ROOT

pytestmark = [pytest.mark.container, pytest.mark.slow]

SERVER = "proxied-cpu"
ROLLED = "digit-vae:rolled"  # the name whose image changes
CALLERS = 8

NEXT = "LABEL next={number}"
ENDS = "ENV VAE_MODEL_STORE=/nowhere"
NEVER_READY = "USER root\nRUN echo 'import time; time.sleep(3600)' >app/serve.py\nUSER 10001:10001"


@pytest.fixture
def release(image: str) -> Callable[[str], str]:
    """Gives ROLLED to an image that differs from this checkout's by some lines; the image's id."""

    def give(lines: str) -> str:
        built(ROLLED, f"FROM {image}\n{lines}\n")
        return run("docker", "image", "inspect", "--format", "{{.Id}}", ROLLED).strip()

    return give


@pytest.fixture(scope="module")
def project(
    image: str, proxy_image: str, compose_command: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    run("docker", "tag", image, ROLLED)
    data = tmp_path_factory.mktemp("data")
    with begun(compose_command, data, service=SERVER, image=ROLLED, proxy_image=proxy_image) as project:
        project.up()
        yield project


@pytest.fixture
def service(project: Project) -> Project:
    """One server and the proxy before it: every test leaves them so. To start them again would renew the image."""
    project.wait_until_all_healthy()
    return project


def rolling(service: Project, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [ROOT / "scripts" / "roll", *arguments], env=service.environment, stderr=subprocess.PIPE, text=True
    )


def roll(service: Project, *arguments: str) -> tuple[int, str]:
    """The exit code, and what was said."""
    with rolling(service, *arguments) as process:
        _, said = process.communicate(timeout=300)
    return process.returncode, said


def image_of(service: Project) -> str:
    return str(service.state()["Image"])


@contextmanager
def load(url: str) -> Iterator[Counter[str]]:
    """Callers that encode and generate until the end of the block; how often which answer came."""
    answers: Counter[str] = Counter()
    done = threading.Event()

    def call() -> None:
        with httpx.Client(base_url=url, timeout=30) as client:
            picture = io.BytesIO()
            Image.new("L", (28, 28), 7).save(picture, "PNG")
            while not done.is_set():
                try:
                    generated = client.post("/generate", json={"z": [0, 0]})
                    encoded = client.post(
                        "/encode?fit=none", content=picture.getvalue(), headers={"content-type": "image/png"}
                    )
                    answers.update([str(generated.status_code), str(encoded.status_code)])
                except httpx.TransportError as failure:
                    answers.update([repr(failure)])

    with ThreadPoolExecutor(CALLERS) as pool:
        callers = [pool.submit(call) for _ in range(CALLERS)]
        try:
            yield answers
        finally:
            done.set()
    for each in callers:
        each.result()


def test_a_roll_under_load_fails_no_request_and_another_has_nothing_to_do(
    service: Project, release: Callable[[str], str]
):
    wanted = release(NEXT.format(number=uuid.uuid4().hex))
    assert image_of(service) != wanted
    with load(service.url) as answers:
        code, said = roll(service)
        assert code == 0, said
        time.sleep(1)
    assert image_of(service) == wanted
    assert set(answers) == {"200"}, answers
    assert answers["200"] > 1000
    code, said = roll(service)
    assert code == 0
    assert "nothing to do" in said


@pytest.mark.long
def test_an_image_that_ends_leaves_the_old_serving(service: Project, release: Callable[[str], str]):
    before = service.server
    release(ENDS)
    with load(service.url) as answers:
        code, said = roll(service)
    assert code == 1
    assert "ends instead of serving" in said
    assert "error: " in said  # the new server's own words
    assert service.containers(SERVER) == [before]
    assert set(answers) == {"200"}, answers


def test_an_image_that_is_never_ready_leaves_the_old_serving(service: Project, release: Callable[[str], str]):
    before = service.server
    release(NEVER_READY)
    code, said = roll(service, "--timeout", "5")
    assert code == 1
    assert "is not ready after 5 s" in said
    assert service.containers(SERVER) == [before]
    assert httpx.get(f"{service.url}/readyz").status_code == 200


@pytest.mark.parametrize(
    "how", [signal.SIGTERM, *(pytest.param(how, marks=pytest.mark.long) for how in (signal.SIGHUP, signal.SIGINT))]
)
def test_an_interrupted_roll_takes_the_new_away(service: Project, release: Callable[[str], str], how: signal.Signals):
    before = service.server
    release(NEVER_READY)
    with rolling(service) as process:
        wait_until(lambda: len(service.containers(SERVER)) == 2)
        time.sleep(2)
        process.send_signal(how)
        assert process.wait(60) == 128 + how
    assert service.containers(SERVER) == [before]
    assert httpx.get(f"{service.url}/readyz").status_code == 200


@pytest.mark.long
def test_a_killed_roll_is_ended_by_the_next(service: Project, release: Callable[[str], str]):
    wanted = release(NEXT.format(number=uuid.uuid4().hex))
    with load(service.url) as answers:
        with rolling(service) as process:
            wait_until(lambda: len(service.containers(SERVER)) == 2)
            process.kill()
        code, said = roll(service)
        assert code == 0, said
    assert "starting" not in said  # the new one is there
    assert image_of(service) == wanted
    assert set(answers) == {"200"}, answers


def wait_until(happened: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.2)


@pytest.mark.long
def test_only_one_roll_goes_on_at_a_time(service: Project, release: Callable[[str], str]):
    release(NEVER_READY)
    with rolling(service) as first:
        wait_until(lambda: len(service.containers(SERVER)) == 2)
        code, said = roll(service)
        first.terminate()  # and the pipe to it is closed: it must clean up though nobody hears it
    assert code == 1
    assert "another roll is under way" in said
    assert httpx.get(f"{service.url}/readyz").status_code == 200
    assert len(service.containers(SERVER)) == 1
