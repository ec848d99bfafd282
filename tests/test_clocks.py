"""What is timed is timed by clocks that only go forward: a clock that is set must not end a deadline or begin one."""

import ast
from pathlib import Path

import pytest

from tests.support.paths import ROOT

MODULES = sorted(
    path for part in ("app", "training", "benchmarks", "tests/reliability") for path in (ROOT / part).rglob("*.py")
)
SET_BY_PEOPLE = {"time", "time_ns", "localtime", "gmtime", "ctime"}  # of the module time; `now` of datetime is below
# Here the time of day is meant: when a version was made, the moment that a Retry-After names, when a span began.
DATES = {
    "training/export/export.py",
    "app/client/retries.py",
    "app/telemetry/batch_tracing.py",
    "tests/reliability/soak.py",
}


def wall_clocks(path: Path) -> set[str]:
    """Calls in a module that ask for the time of day."""
    found = set()
    tree = ast.parse(path.read_text())
    plain = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "time"
        for alias in node.names
        if alias.name in SET_BY_PEOPLE
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        module, _, name = called.rpartition(".")
        if (module == "time" and name in SET_BY_PEOPLE) or called in plain:
            found.add(called)
        if name in ("now", "utcnow", "today") and module.split(".")[-1] in ("datetime", "date"):
            found.add("date")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_durations_are_measured_by_monotonic_clocks(path):
    allowed = {"date", "time.time_ns"} if str(path.relative_to(ROOT)) in DATES else set()
    assert wall_clocks(path) <= allowed


def test_the_time_of_day_is_noticed(tmp_path):
    for code, expected in {
        "import time\nstarted = time.time()": {"time.time"},
        "from time import time as t\nstarted = t()": {"t"},
        "import datetime\nx = datetime.datetime.now()": {"date"},
        "import time\nstarted = time.monotonic()": set(),
    }.items():
        (tmp_path / "module.py").write_text(code)
        assert wall_clocks(tmp_path / "module.py") == expected
