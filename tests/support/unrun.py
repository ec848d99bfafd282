"""Commands that the documents show and neither `.ci/paste` nor `tests/e2e/test_documents.py` runs.

Each with the reason, and with what tests it instead. Standard library only.
"""

import re
from typing import NamedTuple

from tests.support.documents import statements


class Unrun(NamedTuple):
    """Lines that are left out of a block before it is run."""

    pattern: str  # of the whole line
    why: str
    tested_by: str  # file::function, or file


UNRUN = (
    Unrun(
        r"scripts/serve",
        "it is what all other commands talk to: started once, before them",
        "tests/e2e/checkout.py",
    ),
    Unrun(r"VAE_LOG_FORMAT=json scripts/serve", "it serves until it is stopped", "tests/e2e/test_logs.py"),
    Unrun(
        r"OTEL_EXPORTER_OTLP_ENDPOINT=\S+ scripts/serve",
        "it serves until it is stopped",
        "tests/app/telemetry/test_tracing.py",
    ),
    Unrun(r"scripts/test", "it is what runs these tests", "scripts/test"),
    Unrun(
        r"(\w+=\S+ )*docker compose .*",
        "it needs a container engine and minutes, and would change images and volumes of the host",
        "tests/containers/test_image.py::test_a_version_trained_into_the_volume_is_served_after_a_restart",
    ),
    Unrun(
        r"(\w+=\S+ )*scripts/roll.*",
        "it moves the containers that the line before it would have started",
        "tests/containers/test_roll.py",
    ),
    Unrun(
        r"TF_CONFIG=.*",
        "it needs two hosts; two processes stand for them",
        "tests/training/test_devices.py",
    ),
)


def unrun(line: str) -> Unrun | None:
    """Why a line is not run, if it is not."""
    return next((each for each in UNRUN if re.fullmatch(each.pattern, line)), None)


def runnable(text: str) -> str:
    """A block of sh without the commands that are not run; empty if none is left."""
    left = [each for each in statements(text) if unrun(each.command) is None]
    return "".join(each.raw for each in left) if any(each.command for each in left) else ""
