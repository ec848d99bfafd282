"""The pointer over the explorer's plane, sixty places a second, and how soon each place's digit is seen.

The delay of a place is the time from the browser's event until a frame shows its digit, or that of a later place.
"""

import statistics
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

HERTZ = 60

# The picture's alternative text and the line of coordinates name the same z: that joins a place to its picture.
WATCH = r"""() => {
  const seen = (window.seen = { moves: [], shown: [], requests: [] });
  const coordinates = (text) => text.match(/[+\u2212][0-9.]+/g).join();
  const image = document.getElementById("digit"), told = document.getElementById("where");
  performance.setResourceTimingBufferSize(10000);
  new PerformanceObserver((list) => {
    for (const { name, startTime, responseEnd } of list.getEntries())
      if (name.endsWith("/generate")) seen.requests.push([startTime, responseEnd]);
  }).observe({ type: "resource" });
  document.getElementById("plane").addEventListener("pointermove", (event) =>
    seen.moves.push([event.timeStamp, coordinates(told.textContent)]));
  image.addEventListener("load", () => {
    const z = coordinates(image.alt);
    requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel();  // a task, hence after the frame is painted
      port1.onmessage = () => seen.shown.push([performance.now(), z]);
      port2.postMessage(null);
    });
  });
}"""

ARRIVED = """async () => {
  const late = performance.now() + 20000;
  while (seen.shown.at(-1)?.[1] !== seen.moves.at(-1)[1] && performance.now() < late)
    await new Promise(requestAnimationFrame);
}"""


@dataclass(frozen=True)
class Following:
    """What was seen of the pointer and the digits behind it."""

    places: int
    seconds: float
    delays_ms: list[float]
    requests: int
    most_under_way: int

    def __str__(self) -> str:
        p99 = sorted(self.delays_ms)[len(self.delays_ms) * 99 // 100]
        return (
            f"{self.places} places in {self.seconds:.1f} s: delay {statistics.median(self.delays_ms):.0f} ms in the "
            f"median, {p99:.0f} ms at p99; {self.requests} digits asked for, at most {self.most_under_way} at once"
        )


def follow(page: Any, seconds: float) -> Following:
    """Move the pointer over the plane of an explorer that is ready, and watch."""
    page.evaluate(WATCH)
    box = page.locator("#plane").bounding_box()
    began = time.monotonic()
    for i in range(round(seconds * HERTZ)):
        time.sleep(max(0.0, began + i / HERTZ - time.monotonic()))
        page.mouse.move(*_place(i / HERTZ, box))
    took = time.monotonic() - began
    page.evaluate(ARRIVED)
    seen = page.evaluate("window.seen")
    delays = _delays(seen["moves"], seen["shown"])
    return Following(len(seen["moves"]), took, delays, len(seen["requests"]), _most_at_once(seen["requests"]))


def _place(t: float, box: dict[str, float]) -> tuple[float, float]:
    """A Lissajous figure, once round in some seven seconds."""
    return (
        box["x"] + box["width"] * (0.5 + 0.45 * float(np.sin(1.8 * t))),
        box["y"] + box["height"] * (0.5 + 0.45 * float(np.sin(2.7 * t + 1))),
    )


def _delays(moves: list[tuple[float, str]], shown: list[tuple[float, str]]) -> list[float]:
    """For every place that was reached or overtaken, milliseconds until the first frame of it or of a later one."""
    delays: list[float] = []
    for at, z in shown:
        reached = max((i for i, (moved, there) in enumerate(moves) if there == z and moved <= at), default=-1)
        delays += [at - moves[i][0] for i in range(len(delays), reached + 1)]
    return delays


def _most_at_once(spans: list[tuple[float, float]]) -> int:
    """The most requests under way at one moment; one that ends as another begins is over."""
    turns = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
    return int(max(np.cumsum([step for _, step in turns]), default=0))
