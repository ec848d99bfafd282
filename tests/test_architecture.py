"""The directions of imports, and that nothing heavy happens at import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted(path for part in ("app", "cli", "training") for path in (ROOT / part).rglob("*.py"))

# The rooms of app/, from the top down: each imports those below it, and none above it.
ROOMS = ("main", "server", "middleware", "api", "telemetry", "inference", "models", "imaging", "settings", "errors")
# The command line stands above both programs; only it may see them together.
CLI = {"app.client", "app.command_line", "app.errors", "app.imaging", "app.main", "app.models", "app.serve",
       "app.settings", "cli", "training.__main__"}  # fmt: skip
TRAINING = {
    "app.command_line",
    "app.errors",
    "app.imaging",
    "app.models.manifest",
    "app.models.store",
    "app.native_log",
}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if (ROOT / f"{name.replace('.', '/')}.py").exists() else node.module for name in inner}
    return found


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_one_way(path):
    name = name_of(path)
    seen = imports_of(path)
    ours = {each for each in seen if each.split(".")[0] in ("app", "cli", "training")}
    if name.startswith("cli"):
        assert not {each for each in ours if not any(each == a or each.startswith(a + ".") for a in CLI)}
        return
    if name.startswith("training"):
        foreign = {each for each in ours if not each.startswith("training")}
        assert not {each for each in foreign if not any(each == a or each.startswith(a + ".") for a in TRAINING)}
        return
    assert not {each for each in ours if each.startswith(("cli", "training"))}
    if name.startswith("app.client"):  # it runs on machines that have nothing of the server
        assert not {each for each in ours if not each.startswith("app.client")}
    elif (room := name.split(".")[1:2]) and room[0] in ROOMS:
        above = ROOMS[: ROOMS.index(room[0])]
        assert not {each for each in ours if each != "app" and each.split(".")[1] in above}
    if name != "app.models.savedmodel":
        assert "tensorflow" not in {each.split(".")[0] for each in seen}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_graph_depends_on_a_translation_of_python(path):
    """AutoGraph translates another way, or not at all, with another Python or other filters of warnings."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    graphs = {node for node in nodes if isinstance(node, ast.Attribute) and ast.unparse(node) == "tf.function"}
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    assert graphs <= {call.func for call in calls if "autograph=False" in map(ast.unparse, call.keywords)}


ENTRANCES = ["app.main", "app.models.savedmodel", "training.__main__", "training.train", "cli.__main__"]


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
