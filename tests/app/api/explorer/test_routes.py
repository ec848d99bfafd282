"""What the explorer's page is made of: every file it names is served, and nothing comes from anywhere else."""

import re
import tomllib
from html.parser import HTMLParser

import httpx
import numpy as np
import pytest

from app.api.explorer.routes import FOLDER, MEDIA_TYPES, assets
from app.main import create_app
from tests.support.fakes import FakeEngine
from tests.support.paths import ROOT

FILES = sorted(path for path in FOLDER.iterdir() if path.is_file())
ADDRESSES = ["/", "/explorer/points.json", *(f"/explorer/{path.name}" for path in FILES)]


class Page(HTMLParser):
    """The tags of a page, what stands in script and style elements, and the ids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inline: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._inside = tag

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside in ("script", "style") and data.strip():
            self.inline.append(data)

    def values(self, name: str) -> list[str]:
        return [attributes[name] or "" for _, attributes in self.tags if name in attributes]


@pytest.fixture
def page() -> Page:
    return Page((FOLDER / "index.html").read_text())


@pytest.mark.parametrize("address", ADDRESSES)
async def test_every_file_is_served_under_a_strict_policy(client, address):
    response = await client.get(address)
    assert response.status_code == 200
    policy = dict(each.split(" ", 1) for each in response.headers["content-security-policy"].split("; "))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' blob: data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    ("address", "media_type"),
    [("/", "text/html; charset=utf-8"), ("/explorer/explorer.js", "text/javascript; charset=utf-8"),
     ("/explorer/explorer.css", "text/css; charset=utf-8"), ("/explorer/icon.svg", "image/svg+xml"),
     ("/explorer/points.json", "application/json")],
)  # fmt: skip
async def test_a_file_says_what_it_is(client, address, media_type):
    assert (await client.get(address)).headers["content-type"] == media_type


@pytest.mark.parametrize("address", ADDRESSES)
async def test_a_file_is_sent_again_only_when_it_has_changed(client, address):
    first = await client.get(address)
    assert first.headers["cache-control"] == "no-cache"
    again = await client.get(address, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert (await client.head(address)).headers["etag"] == first.headers["etag"]
    assert (await client.get(address, headers={"if-none-match": '"other"'})).status_code == 200


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fmain.py", "%2e%2e%2fmain.py", "index.html%00", "__init__.py"])
async def test_no_other_file_is_served(client, name):
    response = await client.get(f"/explorer/{name}")
    assert response.status_code == 404
    assert response.json()["code"] == "not-found"


def test_every_file_of_the_folder_is_of_a_type_that_is_served():
    assert {path.name for path in FILES} == set(assets())
    assert {path.suffix for path in FILES} == set(MEDIA_TYPES)


async def test_every_address_that_the_page_names_is_served(client, page):
    named = {each for name in ("href", "src") for each in page.values(name)}
    assert {"explorer/explorer.js", "explorer/explorer.css", "docs", "model", "manifold.png"} <= named
    for address in named:
        assert (await client.get(f"/{address}")).status_code == 200, address


def test_every_module_that_a_module_imports_is_there_and_each_is_used():
    imported = {"explorer.js"}
    for path in FOLDER.glob("*.js"):
        names = re.findall(r'from "([^"]+)"', path.read_text())
        assert all(name.startswith("./") and (FOLDER / name).is_file() for name in names), path.name
        imported |= {name.removeprefix("./") for name in names}
    assert imported == {path.name for path in FOLDER.glob("*.js")}


def test_every_part_that_a_module_asks_for_is_on_the_page(page):
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    for path in FOLDER.glob("*.js"):
        assert set(re.findall(r'\bpart\("([^"]+)"\)', path.read_text())) <= set(ids), path.name


def test_every_element_that_is_named_by_another_exists(page):
    for name in ("aria-labelledby", "aria-describedby", "for"):
        assert set(page.values(name)) <= set(page.values("id"))


def test_nothing_is_inline(page):
    assert page.inline == []
    names = {name for _, attributes in page.tags for name in attributes}
    assert "style" not in names
    assert not [name for name in names if name.startswith("on")]
    assert not [value for value in page.values("href") if value.startswith("javascript:")]


def test_no_file_names_another_host():
    for path in FILES:
        found = re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"']*", path.read_text())
        assert [each for each in found if each != "http://www.w3.org/2000/svg"] == [], path.name


def test_no_module_makes_html_or_code_of_text():
    for path in FOLDER.glob("*.js"):
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", path.read_text()
        )


def test_the_files_are_part_of_the_package():
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    for path in FILES:
        assert any(path in FOLDER.parent.glob(each) for each in data["app.api.explorer"])


async def test_the_points_are_those_of_the_served_versions_report(settings, store):
    folder = store / "reports" / "1"
    np.savez_compressed(folder / "latents.npz", z_mean=np.array([[1, -2.5]]), labels=np.array([4]))
    app = create_app(settings, lambda stored, settings: FakeEngine())
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client,
    ):
        response = await client.get("/explorer/points.json")
    assert response.json() == {"z_mean": [[1, -2.5]], "labels": [4]}
