"""The explorer in a real browser, on a real port: the whole application with an engine whose arithmetic is known."""

import re
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn

from app.imaging.decode import decode, open_picture
from app.main import create_app
from app.models.engine import Posterior
from app.settings import Settings
from tests.support.browser import DESK, PHONE, launched_or_skipped
from tests.support.fake_store import fake_manifest, stage_fake
from tests.support.fakes import FakeEngine, paint
from tests.support.pictures import file_of, on_paper
from tests.support.server import free_port
from training.export.publish import publish

pytestmark = pytest.mark.slow

playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")

BLUE = (61, 214, 245)  # the mark of a picture on the plane
PATIENCE_S = 30  # of a test, beside others on two cores; the page takes milliseconds
READY_S = 90  # on a machine that is busy; by itself a second


class SlowEngine(FakeEngine):
    """Takes its time, so that a pointer is faster; the digit of a longer z is that of its last two coordinates."""

    def __init__(self, latent_dim: int = 2) -> None:
        super().__init__()
        self.latent_dim = latent_dim

    def encode(self, images):
        z_mean, z_log_var = super().encode(images)
        more = [(0, 0), (0, self.latent_dim - 2)]
        return Posterior(np.pad(z_mean, more), np.pad(z_log_var, more))

    def generate(self, z):
        time.sleep(0.02)
        return super().generate(z[:, -2:])


class Counted:
    """ASGI middleware: how many requests came for each path, and the most that were under way at once."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.came: Counter[str] = Counter()
        self.under_way: Counter[str] = Counter()
        self.most: Counter[str] = Counter()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        self.came[path] += 1
        self.under_way[path] += 1
        self.most[path] = max(self.most[path], self.under_way[path])
        over = False

        def end() -> None:
            nonlocal over
            self.under_way[path] -= not over
            over = True

        async def sending(message: Any) -> None:
            # Before the last byte leaves: once the browser has it, its next request may be here at any moment.
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                end()
            await send(message)

        try:
            await self.app(scope, receive, sending)
        finally:
            end()  # a page that is closed gets no last byte


@contextmanager
def serving(store: Path, latent_dim: int = 2, **chosen: Any) -> Iterator[tuple[str, Counted]]:
    """The address of the application in a thread of this process."""

    def stage(folder: Path) -> None:
        stage_fake(folder)
        z_mean = np.random.default_rng(0).standard_normal((500, latent_dim))
        np.savez(folder / "reports" / "latents.npz", z_mean=z_mean, labels=(z_mean[:, 0] > 0) + 3)

    publish(store, stage, lambda *told: fake_manifest(*told).model_copy(update={"latent_dim": latent_dim}))
    counted = Counted(
        create_app(Settings(model_store=store, **chosen), lambda stored, settings: SlowEngine(latent_dim))
    )
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(counted, port=port, ws="none", log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/", counted
    finally:
        server.should_exit = True
        thread.join(30)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched_or_skipped() as browser:
        yield browser


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[tuple[str, Counted]]:
    with serving(tmp_path_factory.mktemp("explorer") / "store") as served:
        yield served


@contextmanager
def opened(browser, address: str, prepare: Callable[[Any], None] | None = None, **options: Any) -> Iterator[Any]:
    """The page, ready; at the end it must have met no error and no violation of its policy."""
    context = browser.new_context(**{"viewport": DESK, "reduced_motion": "reduce"} | options)
    page = context.new_page()
    page.complaints, page.waiting, page.failed = [], set(), []
    page.on("console", lambda said: page.complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda sent: sent.url.startswith((address, "blob:")) or page.complaints.append(sent.url))
    page.on("request", lambda sent: page.waiting.add(sent.url))
    page.on("requestfinished", lambda sent: page.waiting.discard(sent.url))
    page.on("requestfailed", lambda sent: page.failed.append(f"{sent.url}: {sent.failure}"))
    if prepare:
        prepare(page)
    page.goto(address)
    wait_until_ready(page)
    page.wait_for_load_state("networkidle")
    yield page
    assert page.complaints == []
    context.close()


def wait_until_ready(page) -> None:
    try:
        page.wait_for_selector("body[data-ready]", timeout=READY_S * 1000)
    except playwright.TimeoutError:
        pytest.fail(
            f"not ready after {READY_S} s; unanswered: {page.waiting}; failed: {page.failed}; "
            f"complaints: {page.complaints}; the page says: {page.locator('#notice').text_content(timeout=5000)}"
        )


@pytest.fixture
def page(browser, served) -> Iterator[Any]:
    with opened(browser, served[0]) as page:
        yield page


def move(page, across: float, down: float, part: str = "#plane") -> None:
    """The pointer to a place in a part of the page, in shares of its sides."""
    page.locator(part).scroll_into_view_if_needed()
    box = page.locator(part).bounding_box()
    page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])


def draw_a_seven(page) -> None:
    move(page, 0.3, 0.25, "#drawing")
    page.mouse.down()
    for place in ((0.5, 0.25), (0.7, 0.25), (0.6, 0.5), (0.5, 0.8)):
        move(page, *place, "#drawing")
    page.mouse.up()
    page.wait_for_selector("#reading:visible")


def where(page) -> list[float]:
    """The coordinates that the page says it shows."""
    told = page.locator("#where").inner_text().replace("\N{MINUS SIGN}", "-")
    return [float(number) for number in told.removeprefix("z = (").removesuffix(")").split(", ")]


def saved(page, link: str) -> bytes:
    with page.expect_download() as download:
        page.click(link)
    return Path(download.value.path()).read_bytes()


def shown(page, image: str) -> np.ndarray:
    """The grey levels of an image of the page."""
    script = """async (image) => {
        for (let tries = 0; ; tries++) try {
            await image.decode();
            break;
        } catch (error) {  // another picture took its place meanwhile
            if (tries === 100) throw error;
            await new Promise(requestAnimationFrame);
        }
        const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight), context = canvas.getContext("2d");
        context.drawImage(image, 0, 0);
        return [...context.getImageData(0, 0, canvas.width, canvas.height).data].filter((_, i) => i % 4 === 0);
    }"""
    return np.array(page.locator(image).evaluate(script))


def digit_at(z: list[float]) -> np.ndarray:
    return np.rint(paint(np.array([z[-2:]])) * 255).ravel()


def wait_for_digit(page, z: list[float]) -> None:
    until = time.monotonic() + PATIENCE_S
    while np.abs(shown(page, "#digit") - digit_at(z)).max() > 1:
        assert time.monotonic() < until, "another digit is shown"
        time.sleep(0.05)


def wait_for_plane(page, brightest: float) -> None:
    until = time.monotonic() + PATIENCE_S
    while abs(shown(page, "#manifold").max() - 255 * brightest) > 1:
        assert time.monotonic() < until, "the plane shows other digits"
        time.sleep(0.05)


def has_color(page, color: tuple[int, int, int]) -> bool:
    script = """(canvas, color) => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        for (let i = 0; i < data.length; i += 4) if (color.every((level, k) => data[i + k] === level)) return true;
        return false;
    }"""
    return page.locator("#marks").evaluate(script, list(color))


def test_hovering_shows_the_digit_under_the_pointer_and_leaving_the_chosen_one(page):
    move(page, 0.9, 0.2)
    z = where(page)
    assert z == [pytest.approx(1.28, abs=0.02), pytest.approx(-0.84, abs=0.02)]
    wait_for_digit(page, z)
    move(page, 0.5, 0.5, "#digit")
    assert where(page) == [0, 0]
    wait_for_digit(page, [0, 0])


def test_a_click_stays_and_a_drag_takes_along(page):
    move(page, 0.9, 0.2)
    page.mouse.down()
    move(page, 0.1, 0.3)
    page.mouse.up()
    chosen = where(page)
    move(page, 0.5, 0.5, "#digit")
    assert where(page) == chosen
    assert chosen[0] == pytest.approx(-1.28, abs=0.02)
    wait_for_digit(page, chosen)
    assert "3" in page.locator("#around").inner_text()  # the class of the points on the left


def test_at_most_two_requests_are_under_way_and_the_last_move_wins(page, served):
    _, counted = served
    before = counted.came["/generate"]
    counted.most.clear()
    box = page.locator("#plane").bounding_box()
    for turn in np.linspace(0, 12, 600):
        share = 0.5 + 0.4 * np.array([np.cos(turn), np.sin(turn)])
        page.mouse.move(*([box["x"], box["y"]] + share * box["width"]))
    wait_for_digit(page, where(page))
    assert 2 < counted.came["/generate"] - before < 600
    assert counted.most["/generate"] <= 2


def test_the_plane_is_worked_with_keys_and_what_one_arrives_at_is_read_out(page):
    page.locator("#plane").focus()
    for key in ("ArrowRight", "Shift+ArrowRight", "ArrowUp"):
        page.keyboard.press(key)
    z = where(page)
    assert z == [pytest.approx(0.28, abs=0.02), pytest.approx(-0.03, abs=0.02)]
    wait_for_digit(page, z)
    playwright.expect(page.locator("#spoken")).to_contain_text("nearest test digits")
    page.keyboard.press("Home")
    assert where(page) == [0, 0]


def test_a_slider_moves_the_point(page):
    page.get_by_role("slider", name="z₀").fill("1.5")
    assert where(page) == [1.5, 0]
    wait_for_digit(page, [1.5, 0])


def test_a_slider_leaves_the_other_coordinates_alone(page):
    move(page, 0.9995, 0.3)
    page.mouse.down()
    page.mouse.up()
    across, down = where(page)
    page.get_by_role("slider", name="z₀").fill("1")
    assert where(page) == [1, down]
    page.get_by_role("slider", name="z₁").fill("1")
    assert where(page) == [1, 1]
    assert across > 3


def test_a_drawing_gets_its_place_its_reconstruction_and_its_loss(page):
    assert not has_color(page, BLUE)
    draw_a_seven(page)
    assert has_color(page, BLUE)
    told = page.locator("#measures").inner_text()
    assert "± 0.61" in told  # exp(-1 / 2)
    assert "nats" in told
    assert shown(page, "#pair").size == 28 * 56
    page.click("#go-there")
    assert where(page)[0] > 0.05
    page.click("#clear")
    page.wait_for_selector("#reading", state="hidden")
    assert page.locator("#invitation").is_visible()
    assert not has_color(page, BLUE)


def test_one_can_draw_with_keys(page):
    page.locator("#drawing").focus()
    page.keyboard.press("Space")
    for key in ("ArrowUp", "ArrowUp", "ArrowUp", "ArrowRight"):
        page.keyboard.press(key)
    page.keyboard.press("Space")
    page.wait_for_selector("#reading:visible")
    page.keyboard.press("Delete")
    page.wait_for_selector("#reading", state="hidden")


def test_a_picture_file_is_read_and_anything_else_refused_kindly(page, digit, tmp_path):
    photo, text = tmp_path / "photo.jpg", tmp_path / "notes.txt"
    photo.write_bytes(file_of(on_paper(digit), "JPEG"))
    text.write_text("no picture")
    page.set_input_files("#file", text)
    assert "notes.txt” is not a picture" in page.locator("#notice").inner_text()
    page.get_by_role("button", name="Close").click()
    assert page.locator("#notice").is_hidden()
    page.set_input_files("#file", text)
    page.set_input_files("#file", photo)
    page.wait_for_selector("#reading:visible")
    assert page.locator("#notice").is_hidden()
    assert shown(page, "#pair").max() > 200
    assert saved(page, "#save-drawing") == photo.read_bytes()


def test_a_picture_without_a_digit_is_refused_in_the_services_words(page):
    draw_a_seven(page)
    blank = {"name": "blank.png", "mimeType": "image/png", "buffer": file_of(np.zeros((99, 99), np.uint8))}
    page.set_input_files("#file", files=[blank])
    playwright.expect(page.locator("#notice")).to_contain_text("No digit was found")
    assert page.locator("#reading").is_hidden()
    assert not has_color(page, BLUE)
    draw_a_seven(page)
    assert page.locator("#notice").is_hidden()
    page.complaints[:] = [each for each in page.complaints if "422" not in each]


def test_a_dropped_picture_is_read(page, digit):
    script = """(bytes) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([new Uint8Array(bytes)], "seven.png", { type: "image/png" }));
        document.body.dispatchEvent(new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: transfer }));
    }"""
    page.evaluate(script, list(file_of(digit)))
    page.wait_for_selector("#reading:visible")
    assert np.array_equal(shown(page, "#pair").reshape(28, 56)[:, :28], digit)


def test_the_generated_digit_goes_back_through_the_encoder(page):
    page.get_by_role("slider", name="z₀").fill("-2")
    wait_for_digit(page, [-2, 0])
    page.click("#encode-digit")
    page.wait_for_selector("#reading:visible")
    assert "+0.30" in page.locator("#measures").inner_text()  # the brightness of the left half, 0.5 - 2 / 10


def test_a_walk_shows_its_steps_and_goes_there(page):
    page.get_by_role("slider", name="z₀").fill("2")
    page.click("#walk-to")
    page.get_by_role("slider", name="z₀").fill("-2")
    page.click("#walk-from")
    page.get_by_role("slider", name="How far").fill("0.75")
    assert where(page) == [1, 0]
    wait_for_digit(page, [1, 0])
    strip = decode(open_picture(saved(page, "#save-strip"), 10**6))
    assert strip.shape == (28, 12 * 28)
    assert np.allclose(strip[0, ::28], np.linspace(0.3, 0.7, 12), atol=0.005)
    page.click("#walk-play")
    playwright.expect(page.locator("#walk-along")).to_have_value(re.compile(r"0?\.[89]|1"))
    page.click("#walk-play")
    assert page.locator("#walk-play").inner_text() == "Play"


def test_every_picture_can_be_saved(page):
    draw_a_seven(page)
    for link, shape in (("#save-digit", (28, 28)), ("#save-manifold", (588, 588)), ("#save-pair", (28, 56)),
                        ("#save-drawing", (280, 280)), ("#save-strip", (28, 336))):  # fmt: skip
        assert decode(open_picture(saved(page, link), 10**6)).shape == shape
    assert saved(page, "#save-points") == b"\x89PNG a latent plot"


def test_the_curl_commands_shown_give_what_is_shown(page, tmp_path):
    draw_a_seven(page)
    (tmp_path / "drawing.png").write_bytes(saved(page, "#save-drawing"))
    page.locator("details.curl summary").evaluate_all("all => all.forEach((summary) => summary.click())")
    answers = {}
    for command in re.split(r"(?<!\\)\n", "\n".join(page.locator(".curl pre").all_inner_texts())):
        done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True)
        answers[command] = done.stdout
    assert len(answers) == 7
    for name, link in (("digit", "digit"), ("manifold", "manifold"), ("pair", "pair"), ("walk", "strip")):
        assert (tmp_path / f"{name}.png").read_bytes() == saved(page, f"#save-{link}")
    assert any('"loss"' in answer for answer in answers.values())


def test_a_lost_service_is_said_and_waited_for(page, served):
    page.route("**/*", lambda route: route.abort())
    move(page, 0.8, 0.8)
    page.wait_for_selector("#notice:visible")
    assert "does not answer" in page.locator("#notice").inner_text()
    page.unroute("**/*")
    page.wait_for_selector("#notice", state="hidden")
    move(page, 0.2, 0.8)
    wait_for_digit(page, where(page))
    # The browser itself reports a failed request; nothing else may be wrong.
    page.complaints[:] = [each for each in page.complaints if "ERR_FAILED" not in each]


def answering_once(status: int) -> Callable[[Any], None]:
    """A handler of requests that answers the first with this status, and lets the others through."""
    answered: list[Any] = []

    def handle(route):
        if answered:
            route.continue_()
        else:
            answered.append(route)
            route.fulfill(status=status, content_type="application/problem+json", body='{"detail": "Not now."}')

    return handle


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_busy_service_is_said_and_asked_again(page, status):
    page.route("**/generate", answering_once(status))
    page.get_by_role("slider", name="z₁").fill("-3")
    page.wait_for_selector("#notice:visible")
    assert "busy" in page.locator("#notice").inner_text()
    wait_for_digit(page, [0, -3])
    page.wait_for_selector("#notice", state="hidden")
    page.complaints[:] = [each for each in page.complaints if str(status) not in each]


def test_a_page_that_opens_while_the_service_is_late_begins_again(browser, served):
    late = answering_once(504)
    with opened(browser, served[0], prepare=lambda page: page.route("**/model", late)) as page:
        assert where(page) == [0, 0]
        page.complaints[:] = [each for each in page.complaints if "504" not in each]


def test_more_dimensions_have_sliders_and_a_choice_of_axes(browser, tmp_path):
    with serving(tmp_path / "store", latent_dim=4) as (address, _), opened(browser, address) as page:
        assert where(page) == [0] * 4
        wait_for_plane(page, 0.5)  # the last two coordinates decide, and the plane shows the first two
        page.get_by_role("slider", name="z₃").fill("2")
        wait_for_plane(page, 0.7)
        wait_for_digit(page, [0, 0, 0, 2])
        page.get_by_label("Down").select_option("3")
        page.get_by_label("Across").select_option("3")  # they change places
        assert page.get_by_label("Down").input_value() == "0"
        assert [page.locator(f".ticks.{side} span").last.inner_text() for side in ("across", "down")] == ["z₃", "z₀"]
        move(page, 0.9, 0.2)
        assert where(page) == [pytest.approx(-0.84, abs=0.02), 0, 0, pytest.approx(1.28, abs=0.02)]
        wait_for_digit(page, where(page))
        draw_a_seven(page)
        assert has_color(page, BLUE)


def test_a_single_dimension_makes_a_line(browser, tmp_path, monkeypatch):
    monkeypatch.setattr(SlowEngine, "encode", lambda self, images: Posterior(images.mean(2)[:, :1], images[:, :1, 0]))
    monkeypatch.setattr(SlowEngine, "generate", lambda self, z: (paint(np.repeat(z, 2, 1)),))
    with serving(tmp_path / "store", latent_dim=1) as (address, _), opened(browser, address) as page:
        move(page, 0.9, 0.1)
        assert where(page) == [pytest.approx(1.28, abs=0.02)]
        wait_for_digit(page, where(page) * 2)
        draw_a_seven(page)


@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_its_screen(browser, served, viewport, scheme, tmp_path):
    with opened(browser, served[0], viewport=viewport, color_scheme=scheme) as page:
        draw_a_seven(page)
        assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
        pressed = page.locator("button:visible, .button:visible, .save:visible, summary:visible").all()
        assert min(each.bounding_box()["height"] for each in pressed) >= 24  # WCAG 2.2, 2.5.8
        page.screenshot(path=tmp_path / f"{viewport['width']}-{scheme}.png", full_page=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_axe_finds_nothing_serious(browser, served, viewport, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    with opened(browser, served[0], viewport=viewport, color_scheme=scheme) as page:
        draw_a_seven(page)
        page.locator("details.curl summary").evaluate_all("all => all.forEach((summary) => summary.click())")
        found = axe.Axe().run(page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")] == []
