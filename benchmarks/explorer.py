"""Measures how closely the explorer's digit follows the pointer: python -m benchmarks.explorer. Needs chromium.

The pointer wanders over the latent plane, sixty places a second, in a real browser, against the real server. The delay
of a place is the time from the browser's event until a frame shows its digit, or that of a later place.
"""

import argparse
import tempfile
from pathlib import Path

from tests.support.browser import launched, open_explorer
from tests.support.paths import ROOT
from tests.support.pointer import follow
from tests.support.server import serving


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.explorer", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--store", type=Path, default=ROOT / "model_store", help="what is served")
    options = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(options.store, Path(folder) / "log") as server,
        launched() as browser,
    ):
        print(follow(open_explorer(browser, server.url), options.seconds))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
