"""One word for one thing, and that word the field's: names that were replaced do not come back."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT

# What a client by itself will replace keeps its names until then.
LEFT_FOLDERS = ("app/client/", "tests/app/client/", "benchmarks/peers/")

# The settings have max_ and min_; constants have the same words.
SUPERLATIVES = re.compile(r"_?(MOST|LEAST|LONGEST|SHORTEST|LARGEST|SMALLEST|DEEPEST)(_|$)")
FILES = [
    "access",
    "at_once",
    "batch_spans",
    "batching",
    "callers",
    "corking",
    "departure",
    "edge",
    "exchange",
    "express",
    "lingering",
    "loading",
    "metered",
    "origins",
    "permissions",
    "points",
    "protection",
    "reading",
    "reloading",
    "short_cuts",
    "side_work",
    "sources",
    "spreading",
    "verification",
    "contenders",
    "own",
    "steady",
    "deaths",
    "stops",
]
ANYWHERE = [
    "AtOnce",
    "Edge",
    "Exchange",
    "Express",
    "Gate",
    "Job",
    "Keeping",
    "MeteredFile",
    "PROBING",
    "Protected",
    "REST",
    "SideWork",
    "SourceReader",
    "SpreadEngine",
    "TOLD_APART",
    "Trained",
    "_Cutting",
    "_Leaving",
    "_alone",
    "_look",
    "_relieve",
    "_take_leave",
    "_turn_taken",
    "at_work",
    "decode_plain",
    "encode_levels",
    "everyone",
    "give_up",
    "guarded",
    "hangs",
    "in_order",
    "is_bare_png",
    "is_free",
    "leave",
    "leave_to_start_anew",
    "metered",
    "must_turn",
    "noting",
    "picture_off_loop",
    "presented",
    "quick_rows",
    "read_png",
    "settled",
    "side_work",
    "stretch",
    "waits_for",
]
SOMEWHERE = {
    "app/api/problems.py": {"answer", "fault", "respond"},
    "app/inference/": {"Call", "Gone", "Observer", "Rows", "Source", "gone", "use", "written"},
    "app/models/": {"Observer", "Rows", "render", "use"},
    "app/server/": {"Wait", "expire"},
    "training/": {"agree", "page", "tell", "told"},
}


def modules() -> Iterator[str]:
    for folder in ("app", "training", "tests", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith(LEFT_FOLDERS):
                yield name


def names_of(tree: ast.AST) -> Iterator[str]:
    """The names that a module makes: of functions, classes, parameters, variables and attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


@pytest.mark.parametrize("module", list(modules()))
def test_no_name_is_one_that_was_replaced(module):
    replaced = {
        *ANYWHERE,
        *(name for prefix, names in SOMEWHERE.items() if module.startswith(prefix) for name in names),
    }
    if Path(module) == Path(__file__).relative_to(ROOT):
        return
    made = set(names_of(ast.parse((ROOT / module).read_text())))
    assert sorted(made & replaced) == []
    assert sorted(filter(SUPERLATIVES.match, made)) == []


def test_no_file_has_a_name_that_was_replaced():
    named = {module: Path(module).stem.removeprefix("test_") for module in modules()}
    assert [module for module, name in named.items() if name in FILES and "e2e" not in module] == []


METAPHORS = re.compile(r"\b(express|edge|short cuts?|corking|lingering|departure|spreading)\b", re.IGNORECASE)


@pytest.mark.parametrize("path", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.name)
def test_no_page_has_a_metaphor_where_the_field_has_a_word(path):
    assert METAPHORS.findall(path.read_text()) == []


def test_the_files_that_docstrings_and_comments_name_exist():
    tracked = {
        path.name for folder in ("app", "training", "tests", "benchmarks") for path in (ROOT / folder).rglob("*")
    }
    unknown = {
        (module, name)
        for module in modules()
        if module.startswith(("app/", "training/"))
        for name in re.findall(r"\b[a-z_]+\.py\b", (ROOT / module).read_text())
        if name not in tracked
    }
    assert unknown == set()
