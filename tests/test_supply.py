"""What is installed: the locks are above every known vulnerability, and the bill of materials names all of it."""

import json
import re
import subprocess
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.support.paths import ROOT

# The first releases without the vulnerabilities that were known when they came out.
FIRST_GOOD = {
    "h11": "0.16",
    "keras": "3.14",  # CVE-2026-1462
    "pillow": "12.3",
    "python-multipart": "0.0.31",
    "starlette": "1.3.1",
    "tensorflow": "2.21",  # CVE-2026-2492
    "tensorflow-cpu": "2.21",
}
KINDS = ("cpu", "gpu")
LOCKS = [f"{name}-{kind}" for name in ("serve", "train", "dev") for kind in KINDS]


def locked(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^ ;\\]+)", text, re.MULTILINE))


def declared(*extras: str) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    chosen = [each for extra in extras for each in project["optional-dependencies"][extra]]
    return [*map(Requirement, project["dependencies"]), *map(Requirement, chosen)]


@pytest.mark.parametrize("name", FIRST_GOOD)
def test_no_version_with_a_known_vulnerability_satisfies_the_project(name):
    bounds = [bound for each in declared(*KINDS) if each.name == name for bound in each.specifier]
    lowest = [Version(bound.version) for bound in bounds if bound.operator == ">="]
    assert lowest
    assert min(lowest) >= Version(FIRST_GOOD[name])


@pytest.mark.parametrize("lock", LOCKS)
def test_every_lock_satisfies_the_project(lock):
    versions = locked(lock)
    for requirement in declared(lock.partition("-")[2]):
        assert requirement.specifier.contains(versions[requirement.name]), requirement


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_its_hashes(lock):
    text = (ROOT / "requirements" / f"{lock}.txt").read_text()
    for block in re.split(r"\n(?=[a-z0-9])", text):
        if "==" in block.splitlines()[0]:
            assert "--hash=sha256:" in block, block.splitlines()[0]


@pytest.mark.slow  # it sees to the development packages first
def test_the_bill_of_materials_names_every_locked_package_with_its_hashes_and_is_the_same_twice():
    bills = [bill("serve-cpu") for _ in range(2)]
    assert bills[0] == bills[1]
    document = json.loads(bills[0])
    assert document["bomFormat"] == "CycloneDX"
    assert document["metadata"]["component"]["name"] == "digit-vae"
    assert {each["name"]: each["version"] for each in document["components"]} == locked("serve-cpu")
    for each in document["components"]:
        assert each["purl"].startswith(f"pkg:pypi/{each['name']}@")
        assert any(reference.get("hashes") for reference in each["externalReferences"])


def bill(lock: str) -> str:
    command = [ROOT / "scripts" / "sbom", lock]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=True).stdout
