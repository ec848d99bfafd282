"""A real browser for the explorer: the host's own Chromium, driven by Playwright."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DESK, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}

# The way of a pen that writes a three.
THREE = [(-0.8, -0.75), (-0.3, -1), (0.4, -0.95), (0.7, -0.6), (0.45, -0.2), (-0.1, -0.05), (0.5, 0.1), (0.8, 0.5),
         (0.45, 0.9), (-0.25, 1), (-0.8, 0.75)]  # fmt: skip


@contextmanager
def launched() -> Iterator[Any]:
    """The browser.

    Raises:
        RuntimeError: there is none on this host.
    """
    from playwright.sync_api import sync_playwright

    if not CHROMIUM:
        raise RuntimeError("there is no chromium; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@contextmanager
def launched_or_skipped() -> Iterator[Any]:
    """The browser, for a test: where there is none the test is skipped, but in CI, which must have one."""
    if not CHROMIUM and not os.environ.get("CI"):
        pytest.skip("there is no chromium; on Debian: apt-get install chromium")
    with launched() as browser:
        yield browser


def draw(page: Any, way: list[tuple[float, float]]) -> None:
    """One round stroke on the page's canvas, through places in -1 .. 1 from its middle to where a digit ends."""
    from scipy.interpolate import make_interp_spline

    page.locator("#drawing").scroll_into_view_if_needed()
    box = page.locator("#drawing").bounding_box()
    curve = make_interp_spline(range(len(way)), way)(np.linspace(0, len(way) - 1, 4 * len(way)))
    places = [box["x"], box["y"]] + (0.5 + 0.3 * curve) * [box["width"], box["height"]]
    page.mouse.move(*places[0].tolist())
    page.mouse.down()
    for place in places[1:].tolist():
        page.mouse.move(*place)
    page.mouse.up()
    page.wait_for_selector("#reading:visible")


def open_explorer(browser: Any, url: str, **options: Any) -> Any:
    """The page, with all that it shows at first."""
    page = browser.new_page(**{"viewport": DESK} | options)
    page.goto(url)
    page.wait_for_selector("body[data-ready]")
    page.wait_for_load_state("networkidle")
    return page
