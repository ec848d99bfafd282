"""The explorer with the shipped model, served by the real server: a drawn digit lands where its like are, and the digit
follows the pointer."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.support.browser import THREE, draw, launched_or_skipped, open_explorer
from tests.support.pointer import follow

pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched_or_skipped() as browser:
        yield browser


@pytest.fixture(scope="module")
def page(browser, shipped) -> Any:
    return open_explorer(browser, shipped.url)


def hands(count: int) -> Iterator[list[tuple[float, float]]]:
    """Threes of several hands: narrow and wide, leaning either way, and none quite steady."""
    for hand in range(count):
        rng = np.random.default_rng(hand)
        slant, width, height = rng.uniform(-0.3, 0.3), rng.uniform(0.6, 1.1), rng.uniform(0.85, 1.1)
        places = np.array(THREE) + rng.normal(0, 0.05, (len(THREE), 2))
        yield [(x * width - y * slant, y * height) for x, y in places.tolist()]


def test_a_drawn_three_lands_among_the_threes_more_often_than_not(page):
    around = []
    for three in hands(12):
        draw(page, three)
        page.click("#go-there")
        around.append(page.locator("#around").inner_text())
        page.click("#clear")
        page.wait_for_selector("#reading", state="hidden")
    classes = [re.findall(r"Around here: (\d) ", text) for text in around]
    assert classes.count(["3"]) > len(classes) / 2, around


def test_the_digit_follows_the_pointer_with_at_most_two_requests_under_way(page, record_property):
    followed = follow(page, 3)
    print(followed)  # python -m benchmarks.explorer measures it; here the machine may be busy
    record_property("median_delay_ms", sorted(followed.delays_ms)[len(followed.delays_ms) // 2])
    assert followed.places == 180
    assert len(followed.delays_ms) == 180  # the last picture is that of the last place
    assert 2 < followed.requests <= 181
    assert followed.most_under_way <= 2
