"""The directions of imports, and that nothing heavy happens at import."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.paths import ROOT

DOCUMENT = (ROOT / "docs" / "architecture.md").read_text()
MODULES = sorted(path for part in ("app", "training") for path in (ROOT / part).rglob("*.py"))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_imports_keep_the_contracts():
    """The contracts are in pyproject.toml: the order of the rooms of app, and what else may not see what."""
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("package", "heading"), [("app", "## The rooms of `app/`"), ("training", "## The rooms of `training/`")]
)
def test_the_document_has_the_rooms_in_the_order_of_the_contracts(package, heading):
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [each["layers"] for each in contracts if each.get("containers") == [package]]
    picture = DOCUMENT.split(f"## The rooms of `{package}/`")[1].split("```")[1]
    told = re.findall(r"^ (\w+) ", picture, re.M)
    assert told == [name for layer in layers for name in layer.split(" | ")]


def test_the_files_that_the_document_names_exist():
    named = re.findall(r"`((?:app|training)/[\w/]+\.py)`", DOCUMENT)
    assert len(named) > 20
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_module_of_the_service_is_in_a_room():
    outside = {path.name for path in (ROOT / "app").glob("*.py")}
    assert outside == {"__init__.py", "errors.py", "main.py", "serve.py"}
    names = {path.name for path in (ROOT / "app").iterdir()} - {"__init__.py", "py.typed", "__pycache__"}
    assert len(names) <= 13


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_graph_depends_on_a_translation_of_python(path):
    """AutoGraph translates another way, or not at all, with another Python or other filters of warnings."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    graphs = {node for node in nodes if isinstance(node, ast.Attribute) and ast.unparse(node) == "tf.function"}
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    assert graphs <= {call.func for call in calls if "autograph=False" in map(ast.unparse, call.keywords)}


ENTRANCES = ["app.main", "app.models.savedmodel", "training.__main__", "training.loop.train", "app.cli.__main__"]


@pytest.mark.parametrize("module", ENTRANCES)
def test_importing_a_module_imports_nothing_heavy(module):
    code = (
        f"import sys, {module}; "
        "heavy = ('tensorflow', 'keras', 'matplotlib', 'sklearn', 'scipy', 'opentelemetry.sdk'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_client_imports_nothing_of_the_server():
    code = (
        "import sys, app.client; "
        "foreign = ('tensorflow', 'fastapi', 'starlette', 'uvicorn', 'pydantic', 'scipy'); "
        "print([name for name in foreign if name in sys.modules], "
        "[name for name in sys.modules if name.startswith('app.') and not name.startswith('app.client')])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] []"


def test_no_test_imports_a_benchmark():
    tests = sorted((ROOT / "tests").rglob("*.py"))
    nodes = [(path, node) for path in tests for node in ast.walk(ast.parse(path.read_text()))]
    imports = [(path, str(node.module)) for path, node in nodes if isinstance(node, ast.ImportFrom)]
    assert [path for path, module in imports if module.startswith("benchmarks")] == []
