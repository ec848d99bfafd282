"""Images are built once for all container tests, which run one after the other: there is one engine."""

import pytest

from tests.containers.project import BASE, BUILD_S, IMAGE, PROXY, PROXY_STAND_IN, STAND_IN, Project, built, run, works
from tests.support.paths import ROOT


@pytest.fixture(scope="session")
def compose_command() -> tuple[str, ...]:
    if not works("docker", "info"):
        pytest.skip("no Docker engine answers: see .ci/docker-engine")
    for command in (("docker", "compose"), ("docker-compose",)):
        if works(*command, "version"):
            return command
    pytest.skip("neither `docker compose` nor `docker-compose` is installed")


@pytest.fixture(scope="session")
def base(compose_command: tuple[str, ...]) -> str:
    """The image that the others are built on; needs an engine."""
    if not works("docker", "image", "inspect", BASE) and not works("docker", "pull", BASE, timeout=120):
        pytest.skip(f"{BASE} is not here and cannot be pulled: see .ci/docker-engine")
    return BASE


@pytest.fixture(scope="session")
def image(base: str) -> str:
    """The image for hosts without a GPU, built from this checkout."""
    arguments = ("--network", "host", "--build-arg", "VARIANT=cpu", "--tag", IMAGE)
    run("docker", "build", *arguments, str(ROOT), timeout=BUILD_S)
    return IMAGE


@pytest.fixture(scope="session")
def proxy_image(base: str) -> str:
    """The proxy's official image, or a stand-in of the same layout."""
    if works("docker", "image", "inspect", PROXY) or works("docker", "pull", PROXY, timeout=60):
        return PROXY
    return built(PROXY_STAND_IN, STAND_IN)


@pytest.fixture
def service(project: Project) -> Project:
    """The module's project, up and healthy, whatever the test before did to it."""
    project.up()
    return project
