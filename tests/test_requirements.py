"""The locked sets: complete, so that installing them resolves nothing, and in agreement with each other."""

import functools
import re
import tomllib
from importlib.metadata import distribution, requires

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.installed import installed_kind
from tests.support.paths import ROOT

LOCKS = ROOT / "requirements"
KINDS = ("cpu", "gpu")
EXTRAS = {"serve": frozenset({"otel"}), "train": frozenset({"train", "otel"}), "dev": frozenset({"dev"})}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
BUILD = [("building", Requirement(each)) for each in PROJECT["dependency-groups"]["build"]]
Lock = dict[str, set[str]]  # the versions of every package, with their conditions
Needs = tuple[str, str]  # a package, and one of its extras or nothing


def locked(name: str) -> Lock:
    found: Lock = {}
    for package, version in re.findall(r"^([a-z0-9._-]+)(==.*?)\s*\\?$", (LOCKS / f"{name}.txt").read_text(), re.M):
        found.setdefault(package, set()).add(version)
    return found


def here(package: str, versions: set[str]) -> list[str]:
    """Return those versions of a package that are for the Python and the host that run this."""
    requirements = [Requirement(package + version) for version in versions]
    chosen = [each for each in requirements if each.marker is None or each.marker.evaluate()]
    return [str(each.specifier).removeprefix("==") for each in chosen]


@functools.cache
def needed(name: str, extras: frozenset[str]) -> tuple[tuple[str, Requirement], ...]:
    """Return who needs what, as installed packages say it, from a package down; extras included."""
    found: list[tuple[str, Requirement]] = []
    todo: list[Needs] = [(name, extra) for extra in ("", *extras)]
    seen: set[Needs] = set()
    while todo:
        package, extra = todo.pop()
        if (package, extra) in seen:
            continue
        seen.add((package, extra))
        for requirement in map(Requirement, requires(package) or ()):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                found.append((package, requirement))
                todo += [(canonicalize_name(requirement.name), each) for each in ("", *requirement.extras)]
    return tuple(found)


def lacking(lock: Lock, extras: frozenset[str]) -> list[str]:
    """Return what a lock lacks for the project with these extras, a sentence each."""
    lacks = []
    for package, requirement in (*needed("digit-vae", extras), *BUILD):
        name = canonicalize_name(requirement.name)
        versions = here(name, lock.get(name, set())) if name != "digit-vae" else [distribution("digit-vae").version]
        if not any(requirement.specifier.contains(version, prereleases=True) for version in versions):
            lacks.append(f"{package} needs {requirement}; locked: {versions or 'nothing'}")
    return lacks


@pytest.mark.parametrize("name", EXTRAS)
def test_a_set_is_complete(name):
    kind = installed_kind()
    assert lacking(locked(f"{name}-{kind}"), EXTRAS[name] | {kind}) == []


@pytest.mark.parametrize("name", EXTRAS)
def test_a_set_from_which_any_package_is_missing_is_not_complete(name):
    kind = installed_kind()
    lock = locked(f"{name}-{kind}")
    wanted = [package for package, versions in lock.items() if here(package, versions)]
    assert len(wanted) > 40
    for package in wanted:
        rest = {each: versions for each, versions in lock.items() if each != package}
        assert lacking(rest, EXTRAS[name] | {kind}), f"{package} is locked, and nothing needs it"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["serve", "train"])
def test_what_is_tested_is_what_is_served(name, kind):
    tested, served = locked(f"dev-{kind}"), locked(f"{name}-{kind}")
    assert {"fastapi", "numpy", "keras"} <= served.keys()
    assert served == {package: tested[package] for package in served}


def test_both_kinds_are_the_same_but_for_tensorflow():
    cpu, gpu = locked("dev-cpu"), locked("dev-gpu")
    shared = cpu.keys() & gpu.keys() - {"tensorflow"}
    assert {package: gpu[package] for package in shared} == {package: cpu[package] for package in shared}
    assert cpu.keys() - gpu.keys() == {"tensorflow-cpu"}
    assert all(package.startswith("nvidia-") for package in gpu.keys() - cpu.keys())
    assert gpu["tensorflow"] == {version.partition(" ;")[0] for version in cpu["tensorflow-cpu"]}
