"""The directions of imports, and that nothing heavy happens at import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted(path for part in ("app", "cli", "training") for path in (ROOT / part).rglob("*.py"))

# What each layer of app may see of app; whoever is not listed here may see errors and images only.
ALLOWED = {
    "app.main": {"*"},
    "app.serve": {"app.announcement", "app.bounded_protocol", "app.command_line", "app.connections", "app.departure",
                  "app.logs", "app.settings", "app.store", "app.supervisor", "app.errors"},
    "app.command_line": {"app.release"},
    "app.supervisor": {"app.announcement"},
    "app.application": {"app.at_once", "app.service"},
    "app.lifespan": {"app.application", "app.batch_spans", "app.batching", "app.departure", "app.loading", "app.memory",
                     "app.native_log", "app.reloading", "app.service", "app.settings", "app.signals", "app.store",
                     "app.supervisor", "app.tracing", "app.watchdog"},
    "app.loading": {"app.engine", "app.errors", "app.points", "app.savedmodel", "app.served_model", "app.settings",
                    "app.spreading", "app.store", "app.verification"},
    "app.service": {"app.batching", "app.departure", "app.engine", "app.errors", "app.health", "app.imaging",
                    "app.reconstruction", "app.served_model", "app.settings",
                    "app.side_work", "app.sources"},
    "app.sources": {"app.engine", "app.errors", "app.imaging", "app.settings", "app.side_work"},
    "app.reconstruction": {"app.engine", "app.imaging"},
    "app.served_model": {"app.engine", "app.manifest"},
    "app.reloading": {"app.errors", "app.memory", "app.served_model", "app.service", "app.store"},
    "app.verification": {"app.engine", "app.errors", "app.imaging"},
    "app.savedmodel": {"app.engine", "app.errors", "app.imaging", "app.store", "app.verification"},
    "app.store": {"app.errors", "app.manifest"},
    "app.schemas": {"app.imaging"},
    "app.settings": {"app.callers", "app.keys", "app.origins", "app.rate"},
    "app.problems": {"app.errors", "app.protection", "app.request_ids"},
    "app.access": {"app.callers", "app.errors", "app.keys", "app.metrics", "app.origins", "app.problems", "app.rate",
                   "app.request_ids", "app.settings"},
    "app.open_inference": {"app.errors", "app.imaging", "app.json_bounds", "app.schemas", "app.tensors"},
    "app.tensorflow_serving": {"app.errors", "app.imaging", "app.json_bounds", "app.schemas", "app.tensors"},
    "app.routes": {"app.body_clock", "app.served_model", "app.service", "app.sources", "app.schemas", "app.errors",
                   "app.imaging", "app.json_bounds", "app.npy", "app.manifest", "app.problems", "app.metrics",
                   "app.open_inference", "app.protection", "app.tensorflow_serving", "app.tensors", "app.routes"},
    "app.client": {"app.client"},  # runs on machines that have nothing of the server
    "app.batching": {"app.errors"},
    "app.corking": {"app.lingering"},
    "app.edge": {"app.body_clock", "app.deadlines", "app.errors", "app.metrics", "app.problems", "app.request_ids"},
    "app.exchange": {"app.traceparent"},
    "app.access_log": {"app.exchange", "app.request_ids"},
    "app.tracing": {"app.exchange", "app.request_ids"},
    "app.batch_spans": {"app.batching"},
    "app.logs": {"app.exchange", "app.request_ids", "app.settings"},
    "app.bounded_protocol": {"app.connections", "app.errors", "app.express", "app.problems", "app.upgrade"},
    "app.lingering": {"app.upgrade"},
    "app.spreading": {"app.engine", "app.imaging"},
    "app.express": {"app.corking"},
    "app.at_once": {"app.edge", "app.express", "app.imaging", "app.protection", "app.request_ids", "app.routes",
                    "app.service"},
    "app.connections": {"app.settings"},
    "app.body_limit": {"app.body_clock", "app.errors"},
}  # fmt: skip
DEFAULT = {"app.errors", "app.imaging"}
# The command line stands above both programs; only it may see them together.
CLI = {"app.client", "app.command_line", "app.engine", "app.errors", "app.imaging", "app.keys", "app.main", "app.serve",
       "app.settings", "app.store", "cli", "training.__main__"}  # fmt: skip
TRAINING = {"app.command_line", "app.errors", "app.imaging", "app.manifest", "app.native_log",
            "app.store"}  # fmt: skip


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
    allowed = ALLOWED.get(name) or ALLOWED.get(name.rpartition(".")[0]) or DEFAULT
    if "*" not in allowed:
        assert {each for each in ours if not any(each == a or each.startswith(a + ".") for a in allowed)} == set()
    if name != "app.savedmodel":
        assert "tensorflow" not in {each.split(".")[0] for each in seen}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_graph_depends_on_a_translation_of_python(path):
    """AutoGraph translates another way, or not at all, with another Python or other filters of warnings."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    graphs = {node for node in nodes if isinstance(node, ast.Attribute) and ast.unparse(node) == "tf.function"}
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    assert graphs <= {call.func for call in calls if "autograph=False" in map(ast.unparse, call.keywords)}


ENTRANCES = ["app.main", "app.savedmodel", "training.__main__", "training.train", "cli.__main__"]


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
