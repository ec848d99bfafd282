"""`scripts/audit`, with a stand-in for pip-audit: what it does where advisories can be read, and where they cannot."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.paths import ROOT

# The stand-in answers as the variables say: KNOWN for the package whose vulnerability is known, LOCKS for the locks.
PIP_AUDIT = """\
#!/usr/bin/env bash
case "$*" in
  *import*) exit 0 ;;
  *--strict*) echo "audited the locks"; exit "$LOCKS" ;;
  *) echo "$KNOWN"; echo "no route to the advisories" >&2; exit 1 ;;
esac
"""
FOUND = '{"vulns": [{"id": "PYSEC-2024-60"}]}'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "audit", tmp_path / "scripts")
    (tmp_path / "scripts" / "lib.sh").write_text('cd "$(dirname "${BASH_SOURCE[0]}")/.."\ninstall() { :; }\n')
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PIP_AUDIT)
    python.chmod(0o755)
    return tmp_path


def audit(checkout: Path, *options: str, known: str = "", locks: int = 0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", checkout / "scripts" / "audit", *options],
        env={"PATH": "/usr/bin:/bin", "KNOWN": known, "LOCKS": str(locks)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_without_advisories_it_says_that_nothing_was_audited(checkout):
    answer = audit(checkout)
    assert answer.returncode == 0
    assert "nothing was audited" in answer.stderr
    assert "audited the locks" not in answer.stdout


def test_without_advisories_it_fails_where_an_audit_is_required_and_shows_why(checkout):
    answer = audit(checkout, "--required")
    assert answer.returncode == 1
    assert "nothing was audited" in answer.stderr
    assert "no route to the advisories" in answer.stderr


@pytest.mark.parametrize("options", [(), ("--required",)], ids=["plain", "required"])
@pytest.mark.parametrize("locks", [0, 1])
def test_with_advisories_the_locks_decide(checkout, options, locks):
    answer = audit(checkout, *options, known=FOUND, locks=locks)
    assert answer.returncode == locks
    assert answer.stdout == "audited the locks\n"


def test_an_unknown_option_is_refused(checkout):
    answer = audit(checkout, "--require")
    assert answer.returncode == 2
    assert "usage" in answer.stderr


def test_public_ci_requires_it():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    assert "scripts/audit --required" in [step.get("run") for job in jobs.values() for step in job["steps"]]
