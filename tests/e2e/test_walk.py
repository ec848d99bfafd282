"""The way of a request through the files of the service is short, and as docs/architecture.md has it."""

import re
import subprocess
import sys

import pytest

from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

MAX_FILES = 21
MAX_MOVES = 80


@pytest.mark.long
def test_a_request_passes_few_files_as_the_document_says():
    command = [sys.executable, "-m", "benchmarks.walk"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    counted = {
        path: (int(files), int(moves))
        for path, files, moves in re.findall(r"(/\w+): (\d+) files, (\d+) moves", done.stdout)
    }
    assert set(counted) == {"/generate", "/encode"}
    document = (ROOT / "docs" / "architecture.md").read_text()
    told = {
        path: (int(files), int(moves))
        for path, files, moves in re.findall(r"^\| `(/\w+)`.*\| (\d+) \| (\d+) \|$", document, re.M)
    }
    assert counted == told
    assert all(files <= MAX_FILES and moves <= MAX_MOVES for files, moves in counted.values())
