"""The documents are complete: every setting, route, error code, script and preset is in them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.errors import DigitVaeError
from app.main import create_app
from app.problems import in_protocol
from app.settings import Settings
from training import errors as training_errors
from training.config import PRESETS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
API = (ROOT / "docs" / "api.md").read_text()
PROTOCOLS = (ROOT / "docs" / "protocols.md").read_text()


def tree(kind: type[DigitVaeError]) -> list[type[DigitVaeError]]:
    return [kind, *(each for child in kind.__subclasses__() for each in tree(child))]


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_in_the_readme_with_its_default(name):
    default = Settings.model_fields[name].default
    shown = "" if default is None else str(default)
    row = re.search(rf"^\| `VAE_{name.upper()}` \| `?([^|`]*?)`? \|", README, re.MULTILINE)
    assert row, f"VAE_{name.upper()} is missing"
    assert row[1].strip() == shown
    assert Settings.model_fields[name].description


@pytest.mark.parametrize("kind", tree(DigitVaeError), ids=lambda kind: kind.__name__)
def test_every_error_is_in_the_tree_that_its_module_shows_and_in_the_api_document(kind):
    import app.errors

    shown = training_errors.__doc__ if kind.__module__ == "training.errors" else app.errors.__doc__
    assert re.search(rf"{kind.__name__} .*{kind.code}", shown or "")
    assert kind.__doc__
    if kind.__module__ == "app.errors":
        assert f"`{kind.code}`" in API
        assert re.search(rf"{kind.__name__} +{kind.status} {kind.code}", shown or "")


def test_every_route_is_in_the_api_document():
    app = create_app(Settings())
    for path, verbs in app.openapi()["paths"].items():
        for verb in verbs:
            assert f"`{verb.upper()} {path}`" in (PROTOCOLS if in_protocol(path) else API)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_in_the_readme(preset):
    assert f"--preset {preset}" in README


@pytest.mark.parametrize("script", [path.name for path in (ROOT / "scripts").iterdir() if path.suffix == ""])
def test_every_script_is_in_the_contributors_guide(script):
    assert f"scripts/{script}" in (ROOT / "CONTRIBUTING.md").read_text()


def test_every_picture_and_page_that_a_document_links_exists():
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)\)|src=\"([^\":]+)\"", document.read_text()):
            assert (document.parent / (link[0] or link[1])).exists(), f"{document.name}: {link}"
