"""What `scripts/test` says before and after the tests: `python -m tests.support.summary before`, `... after FOLDER`."""

import ast
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from tests.support.browser import CHROMIUM

TESTS = Path(__file__).parents[1]
TAKES = "about twenty minutes on two cores, some of them for images where a Docker engine answers"


def main(arguments: list[str]) -> None:
    lines = before() if arguments[0] == "before" else after(Path(arguments[1]))
    print("\n".join(lines), flush=True)


def before() -> Iterator[str]:
    """How long it takes, and what is left out."""
    yield f"All tests: {TAKES}."
    for what, there in wanted().items():
        if not there:
            yield f"left out: {what}"
    yield f"left out: {len(long_tests())} long tests, which .ci/long runs: {', '.join(long_tests())}"


def wanted() -> dict[str, bool]:
    """What some tests need, with what is skipped where it is not; and whether it is there."""
    return {
        "the explorer in a browser: there is no chromium (apt-get install chromium)": bool(CHROMIUM),
        "the container image: no Docker engine answers (.ci/docker-engine)": engine_answers(),
        "shared connections: there is no haproxy or no nginx (apt-get install haproxy nginx-light)": all(
            map(shutil.which, ("haproxy", "nginx"))
        ),
        "power cuts and full disks: there is no strace (apt-get install strace)": bool(shutil.which("strace")),
    }


def engine_answers() -> bool:
    if not shutil.which("docker"):
        return False
    return not subprocess.run(["docker", "info"], capture_output=True, timeout=60, check=False).returncode


def long_tests() -> list[str]:
    """The names of the functions with the marker `long`, be it on some of their cases only."""
    trees = (ast.parse(path.read_text()) for path in sorted(TESTS.rglob("test_*.py")))
    nodes = (node for tree in trees for node in tree.body)
    return [
        node.name
        for node in nodes
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and any("pytest.mark.long" in ast.unparse(decorator) for decorator in node.decorator_list)
    ]


def after(folder: Path) -> Iterator[str]:
    """Why tests were skipped, how many of each reason; last how all runs together ended, as pytest says it."""
    skipped: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    seconds = 0.0
    for path in folder.glob("*.xml"):
        for suite in ElementTree.parse(path).iter("testsuite"):
            counts.update({kind: int(suite.get(kind, 0)) for kind in ("tests", "failures", "errors", "skipped")})
            seconds += float(suite.get("time", 0))
            skipped.update(found.get("message", "") for found in suite.iter("skipped"))
    yield from (f"skipped {count}: {why}" for why, count in skipped.most_common())
    yield closing(counts, seconds)


def closing(counts: Counter[str], seconds: float) -> str:
    """A line like pytest's last."""
    passed = counts["tests"] - counts["failures"] - counts["errors"] - counts["skipped"]
    errors = "error" if counts["errors"] == 1 else "errors"
    told = {"failed": counts["failures"], "passed": passed, "skipped": counts["skipped"], errors: counts["errors"]}
    text = ", ".join(f"{count} {kind}" for kind, count in told.items() if count or kind == "passed")
    return f"===== {text} in {seconds:.0f}s ({seconds / 60:.1f} minutes) ====="


if __name__ == "__main__":
    main(sys.argv[1:])
