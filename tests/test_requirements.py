"""The locked sets agree with each other, so that what the tests run with is what serves and trains."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

LOCKS = Path(__file__).parent.parent / "requirements"


def locked(name: str) -> dict[str, set[str]]:
    """The versions of every package, with their conditions."""
    found: dict[str, set[str]] = {}
    for package, version in re.findall(r"^([a-z0-9._-]+)(==.*?)\s*\\?$", (LOCKS / f"{name}.txt").read_text(), re.M):
        found.setdefault(package, set()).add(version)
    return found


@pytest.mark.parametrize("name", ["serve", "train", "gpu"])
def test_what_is_tested_is_what_is_served(name):
    tested, served = locked("dev"), locked(name)
    shared = tested.keys() & served.keys()
    assert {"tensorflow", "fastapi", "numpy"} <= shared
    assert {package: served[package] for package in shared} == {package: tested[package] for package in shared}
    assert all(package.startswith("nvidia-") for package in served.keys() - shared)  # nobody tests on these
