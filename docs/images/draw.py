"""Draws the README's pictures with a running service: scripts/pictures [URL]. Needs chromium, for the explorer.

No digit in them is from a data set.
"""

import io
import sys
from pathlib import Path

import httpx
import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from app.models.store import ModelStore
from tests.support.browser import DESK, PHONE, THREE, draw, launched, open_explorer

HERE = Path(__file__).parent
COARSER = [15 * round(level / 15) for level in range(256)]  # half the bytes, and grey stays grey


def main(url: str) -> None:
    """Write every picture that the README shows."""
    with httpx.Client(base_url=url, timeout=60) as service:
        seven = [round(float(number), 2) for number in middle_of(7)]
        save("seven.png", service.post("/generate", json={"z": seven}))
        photograph(HERE / "seven.jpg")
        save("digit.png", service.post("/generate", json={"z": [0, 0]}))
        save("manifold.png", service.get("/manifold.png"))
        save("latent.png", service.get("/latent.png"))
        save("samples.png", service.post("/generate?columns=16&scale=2", json={"sample": 48, "seed": 1}))
        picture = {"content": (HERE / "seven.jpg").read_bytes(), "headers": {"content-type": "image/jpeg"}}
        save("pair.png", service.post("/reconstruct?scale=4", **picture))
    explorer(url)


def explorer(url: str) -> None:
    """Draw the page on a desktop and on a phone, in light colours, after somebody has drawn a three and gone there."""
    with launched() as browser:
        for name, viewport in (("desk", DESK), ("phone", PHONE)):
            page = open_explorer(browser, url, viewport=viewport, color_scheme="light", reduced_motion="reduce")
            draw(page, THREE)
            with page.expect_response("**/generate"):
                page.click("#go-there")
            page.evaluate("scrollTo(0, 0)")
            page.wait_for_timeout(500)  # for the digit to be painted
            png = page.screenshot(full_page=name == "desk")
            picture = Image.open(io.BytesIO(png)).convert("RGB").point(COARSER * 3)
            picture.save(HERE / f"explorer-{name}.png", optimize=True)


def middle_of(label: int) -> np.ndarray:
    """Where the test digits of a class lie in the latent space of the newest version."""
    with np.load(ModelStore(HERE.parent.parent / "model_store").open().report / "latents.npz") as latents:
        return np.median(latents["z_mean"][latents["labels"] == label], 0)


def save(name: str, response: httpx.Response) -> None:
    """Keep a picture that the service answered with."""
    response.raise_for_status()
    (HERE / name).write_bytes(response.content)


def photograph(path: Path) -> None:
    """Draw a seven in ink on paper, lit from one side, a little out of focus."""
    sheet = Image.new("L", (300, 400), 232)
    pen = ImageDraw.Draw(sheet)
    strokes = [(78, 96), (120, 90), (168, 92), (196, 88), (184, 122), (164, 168), (148, 212), (138, 252), (134, 272)]
    pen.line(strokes, fill=40, width=15, joint="curve")
    for x, y in (strokes[0], strokes[3], strokes[-1]):
        pen.ellipse((x - 7, y - 7, x + 7, y + 7), fill=40)
    light = np.linspace(0.8, 1.02, 300)[np.newaxis, :] * np.linspace(1.0, 0.9, 400)[:, np.newaxis]
    grain = np.random.default_rng(0).normal(0, 2.5, (400, 300))
    levels = np.asarray(sheet.filter(ImageFilter.GaussianBlur(1.2)), float) * light + grain
    out = io.BytesIO()
    Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8)).convert("RGB").save(out, "JPEG", quality=85)
    path.write_bytes(out.getvalue())


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000")
