"""The documents are complete: every setting, route, error code, script and preset is in them."""

import re
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

import pytest

from app import client
from app.api.problems import in_protocol
from app.cli.__main__ import COMMANDS
from app.errors import DigitVaeError
from app.main import create_app
from app.settings import Settings
from tests.support.documents import DOCUMENTS
from tests.support.paths import ROOT
from training import errors as training_errors
from training.config import PRESETS

CLIENT = (ROOT / "docs" / "client.md").read_text()
README = (ROOT / "README.md").read_text()
SETTINGS = (ROOT / "docs" / "settings.md").read_text()
TRAINING = (ROOT / "docs" / "training.md").read_text()
DOCS = ROOT / "docs"
INDEX = (DOCS / "README.md").read_text()
API = (ROOT / "docs" / "api.md").read_text()
PROTOCOLS = (ROOT / "docs" / "protocols.md").read_text()


def tree(kind: type[DigitVaeError]) -> list[type[DigitVaeError]]:
    return [kind, *(each for child in kind.__subclasses__() for each in tree(child))]


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_in_its_document_once_with_its_default(name):
    default = Settings.model_fields[name].default
    shown = "" if default is None else str(default)
    rows = re.findall(rf"^\| `VAE_{name.upper()}` \| `?([^|`]*?)`? \| .+ \|$", SETTINGS, re.MULTILINE)
    assert [row.strip() for row in rows] == [shown]
    assert Settings.model_fields[name].description


def test_every_setting_that_its_document_lists_exists():
    listed = re.findall(r"^\| `VAE_(\w+)` \|", SETTINGS, re.MULTILINE)
    assert {name.lower() for name in listed} == set(Settings.model_fields)


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
def test_every_preset_is_in_its_document(preset):
    assert f"--preset {preset}`" in TRAINING


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 120


def test_every_page_is_in_the_index():
    pages = [path.relative_to(DOCS).as_posix() for path in (*DOCS.glob("*.md"), *DOCS.glob("*.py"))]
    for page in pages:
        assert page == "README.md" or f"\n| [{page}]({page}) |" in INDEX


@pytest.mark.parametrize("script", [path.name for path in (ROOT / "scripts").iterdir() if path.suffix == ""])
def test_every_script_is_in_the_contributors_guide(script):
    assert f"scripts/{script}" in (ROOT / "CONTRIBUTING.md").read_text()


def test_every_picture_and_page_that_a_document_links_exists():
    for document in DOCUMENTS:
        for page, heading, picture in re.findall(r"\]\(([^)#:]*)#?([^):]*)\)|src=\"([^\":]+)\"", document.read_text()):
            path = document.parent / (page or picture) if page or picture else document
            assert path.exists(), f"{document.name}: {page or picture}"
            assert not heading or heading in anchors(path), f"{document.name}: {page}#{heading}"


def anchors(document: Path) -> list[str]:
    """The headings of a page, as GitHub makes addresses of them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]


@pytest.mark.parametrize("name", [module.__name__.rpartition(".")[2] for module in COMMANDS])
def test_every_command_is_in_the_clients_document(name):
    assert f"| `digit-vae {name}" in CLIENT


@pytest.mark.parametrize("name", [name for name in vars(client.Client) if not name.startswith("_")])
def test_every_method_of_the_client_is_in_its_document(name):
    assert f"`{name}(" in CLIENT


@pytest.mark.parametrize("kind", [each for each in vars(client).values() if isinstance(each, type)])
def test_every_error_and_setting_of_the_client_is_in_its_document(kind):
    assert kind.__name__ in CLIENT
    for field in fields(kind) if kind in (client.Sending, client.Retries) else ():
        name, value = field.name, field.default
        if isinstance(value, int | float) and name != "first_s":
            shown = f"{value // 2**20} MiB" if value >= 2**20 else f"{value:g}"
            assert re.search(rf"`{name}`\s\({shown}\)", CLIENT), name


def test_every_query_parameter_is_in_the_api_document():
    for path, verbs in create_app(Settings()).openapi()["paths"].items():
        for parameter in [each for verb in verbs.values() for each in verb.get("parameters", ())]:
            if parameter["in"] == "query":
                name = parameter["name"]
                assert re.search(rf"`\??{name}=?[^`]*`", API), f"{path}?{name}"


def test_every_route_and_code_that_the_api_document_lists_exists():
    app = create_app(Settings())
    routes = {f"{verb.upper()} {path}" for path, verbs in app.openapi()["paths"].items() for verb in verbs}
    for document in (API, PROTOCOLS):
        listed = set(re.findall(r"^\| `((?:GET|POST) [^`]+)`", document, re.MULTILINE))
        assert listed
        assert listed <= routes
    listed = set(re.findall(r"^\| `([a-z-]+)` \| \d+ \|", API, re.MULTILINE))
    assert listed <= {kind.code for kind in tree(DigitVaeError)}


def test_every_variable_that_a_document_names_is_read_somewhere_and_the_other_way_round():
    sources = [ROOT / "Dockerfile", ROOT / "docker-compose.yml", *(ROOT / "docs").rglob("*.py")]
    sources += [path for name in ("app", "training") for path in (ROOT / name).rglob("*.py")]
    sources += [path for path in (ROOT / "scripts").iterdir() if path.is_file()]
    read = {f"VAE_{name.upper()}" for name in Settings.model_fields} | variables(sources)
    told = variables(DOCUMENTS)
    assert told - read == set()
    assert read - told == set()


def variables(paths: Iterable[Path]) -> set[str]:
    return {name for path in paths for name in re.findall(r"VAE_[A-Z]+(?:_[A-Z]+)*", path.read_text())}
