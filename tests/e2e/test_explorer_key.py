"""The explorer of a service with keys, in a real browser: it asks, keeps what it is given, and shows it to nobody."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from app.settings.api_keys import new_key
from tests.e2e.test_explorer import browser, saved, serving
from tests.support.browser import DESK

__all__ = ["browser"]  # the fixture
pytestmark = pytest.mark.slow

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")

SECRET, KEY = new_key("visitor")
REFUSED = "Failed to load resource: the server responded with a status of 401 (Unauthorized)"


@pytest.fixture(scope="module")
def locked(tmp_path_factory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("locked") / "store", api_keys=(KEY,)) as (address, _):
        yield address


@pytest.fixture
def page(browser, locked) -> Iterator[Any]:
    """The page as it is first seen; at the end it must have complained of nothing but refusals."""
    context = browser.new_context(viewport=DESK, reduced_motion="reduce")
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(locked)
    page.wait_for_selector("#key[open]")
    yield page
    assert [each for each in complaints if each != REFUSED] == []
    context.close()


def enter(page, key: str) -> None:
    page.fill("#key input", key)
    page.click("#key button")


def test_the_page_asks_for_the_key_and_goes_on_with_it(page):
    assert page.locator("#key [role=alert]").inner_text() == ""
    assert page.locator("#key input").evaluate("input => document.activeElement === input")
    enter(page, f" {SECRET} ")
    page.wait_for_selector("body[data-ready]")
    assert not page.locator("#key").is_visible()
    page.reload()
    page.wait_for_selector("body[data-ready]")  # without asking again
    assert page.evaluate("localStorage.length") == 0
    assert SECRET not in page.content()


def test_a_wrong_key_is_said_to_be_wrong_and_asked_for_again(page):
    enter(page, "vae_wrong")
    page.locator("#key [role=alert]").filter(has_text="does not know").wait_for()
    assert page.locator("#key input").input_value() == ""
    enter(page, SECRET)
    page.wait_for_selector("body[data-ready]")


def test_who_has_no_key_is_told_why_there_is_nothing(page):
    page.keyboard.press("Escape")
    page.wait_for_selector("#notice:visible")
    assert "asks for a key" in page.locator("#notice").inner_text()


def test_curl_names_the_variable_and_not_the_key(page):
    enter(page, SECRET)
    page.wait_for_selector("body[data-ready]")
    page.click("#curl-digit summary")
    shown = page.locator("#curl-digit pre").inner_text()
    assert '-H "authorization: Bearer $VAE_API_KEY"' in shown
    assert SECRET not in shown


def test_links_to_answers_are_fetched_with_the_key_and_saved(page):
    enter(page, SECRET)
    page.wait_for_selector("body[data-ready]")
    assert json.loads(saved(page, "#show-model"))["version"] == 1


def test_the_question_is_accessible(page):
    assert axe.Axe().run(page).response["violations"] == []
