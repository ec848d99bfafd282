"""The files that others read: git, GitHub, Renovate, editors, and whoever cites the project.

That the forms and configurations have the right shape is checked by `scripts/check`, against their schemas.
"""

import hashlib
import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.support.paths import ROOT

GITHUB = ROOT / ".github"
WORKFLOWS = sorted(GITHUB.glob("workflows/*.yml"))
# Actions that keep their tag, since nobody could look up the digest of its commit.
TAGGED: frozenset[str] = frozenset()
# A digest with the version it belongs to, which Renovate reads.
PINNED = re.compile(r"[0-9a-f]{40} # v\d+\.\d+\.\d+")

USES = [
    (path.name, *found.groups())
    for path in WORKFLOWS
    for found in re.finditer(r"^\s*(?:- )?uses: ([^@\s]+)@(.+?)\s*$", path.read_text(), re.MULTILINE)
]


def git(*arguments: str) -> str:
    command = ["git", "-c", "core.autocrlf=true", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.fixture(scope="module")
def windows_clone(tmp_path_factory) -> Path:
    """What git writes into a clone where it is told to give text files CRLF."""
    if not (ROOT / ".git").exists():
        pytest.skip("this copy was not made by git")
    folder = tmp_path_factory.mktemp("clone")
    git("checkout-index", "--all", f"--prefix={folder}/")
    return folder


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_every_action_is_found():
    steps = [
        step["uses"]
        for path in WORKFLOWS
        for job in yaml.safe_load(path.read_text())["jobs"].values()
        for step in job["steps"]
        if "uses" in step
    ]
    assert steps == [f"{action}@{version.split()[0]}" for _, action, version in USES]
    assert steps


@pytest.mark.parametrize(("workflow", "action", "version"), USES)
def test_every_action_is_named_by_a_digest_and_its_version(workflow, action, version):
    assert bool(PINNED.fullmatch(version)) == (action not in TAGGED), f"{workflow}: {action}@{version}"


def test_an_action_has_one_digest_in_all_workflows():
    assert len({action for _, action, _ in USES}) == len({(action, version) for _, action, version in USES})


def test_renovate_finds_the_base_image_wherever_it_is_named():
    (manager,) = json.loads((ROOT / "renovate.json").read_text())["customManagers"]
    assert manager["managerFilePatterns"] == [r"/^\.ci/docker-engine$/"]
    (expression,) = manager["matchStrings"]
    found = re.search(expression.replace("(?<", "(?P<"), (ROOT / ".ci" / "docker-engine").read_text())
    assert found
    base = re.search(r"^ARG BASE=(.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert base
    assert base[1] == f"{found['depName']}:{found['currentValue']}"


def test_a_form_asks_each_question_once_and_says_what_it_is_for():
    forms = sorted(GITHUB.glob("ISSUE_TEMPLATE/[0-9]*.yml"))
    assert len(forms) == 3
    for path in forms:
        form = yaml.safe_load(path.read_text())
        names = [field["id"] for field in form["body"] if field["type"] != "markdown"]
        assert len(names) == len(set(names))
        assert form["description"]


def test_the_citation_has_the_version_and_licence_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    for key, own in {"title": "name", "version": "version", "license": "license", "abstract": "description"}.items():
        assert citation[key] == project[own]


def test_a_clone_with_autocrlf_has_lf_everywhere(windows_clone):
    cloned = files(windows_clone)
    assert windows_clone / "scripts" / "serve" in cloned
    for path in cloned:
        content = path.read_bytes()
        assert b"\0" in content[:8000] or b"\r\n" not in content, path.relative_to(windows_clone)


def test_a_clone_with_autocrlf_has_the_files_of_every_version_as_published(windows_clone):
    store = windows_clone / "model_store"
    manifests = sorted(store.glob("manifests/*.json"))
    assert manifests
    for manifest in manifests:
        for each in json.loads(manifest.read_text())["files"]:
            assert hashlib.sha256((store / each["path"]).read_bytes()).hexdigest() == each["sha256"], each["path"]


def test_a_clone_with_autocrlf_has_scripts_that_bash_understands(windows_clone):
    scripts = [path for path in files(windows_clone) if path.read_bytes().startswith(b"#!")]
    assert windows_clone / ".ci" / "run" in scripts
    shell = [path for path in scripts if "bash" in path.read_text().partition("\n")[0]]
    for path in shell:
        subprocess.run(["bash", "-n", path], check=True, timeout=30)


def test_git_takes_every_file_as_text_with_lf_or_as_bytes():
    if not (ROOT / ".git").exists():
        pytest.skip("this copy was not made by git")
    for line in git("ls-files", "--eol").splitlines():
        index, _, attributes = line.partition("\t")[0].split(maxsplit=2)
        kind = attributes.removeprefix("attr/").strip()
        assert index in {"i/lf", "i/none", "i/-text"}, line
        assert kind == "-text" or (kind == "text=auto eol=lf" and index != "i/-text"), (
            f"{line}: name it in .gitattributes"
        )


def test_the_tests_that_ci_runs_on_other_pythons_exist():
    array = re.search(r"^SLOW_ON_OTHERS=\(.*?^\)", (ROOT / ".ci" / "run").read_text(), re.MULTILINE | re.DOTALL)
    assert array
    program = array.group() + '\nprintf "%s\\n" "${SLOW_ON_OTHERS[@]}"'
    named = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert len(named) > 5
    assert [path for path in named if not (ROOT / path).is_file()] == []
