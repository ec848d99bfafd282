"""The files of app/ that a request passes: `python -m benchmarks.walk`.

The service runs in a thread, as one worker with default settings on the shipped version. Each call of one of its
functions is a step into that function's file, each return a step back; what lies in libraries is passed over. A move is
a step into another file than the one before. Of three equal requests the last is counted, so that caches are warm.
"""

import functools
import http.client
import itertools
import sys
import threading
import time
from collections import Counter
from types import FrameType
from typing import Any

import numpy as np
import uvicorn

from app.imaging.png import encode_png
from app.main import create_app
from app.server.connections import Connections
from app.server.protocol import LimitedHttpProtocol
from app.settings import Settings
from tests.support.paths import ROOT

APP = f"{ROOT / 'app'}/"
DIGIT = np.pad(np.full((20, 4), 250, np.uint8), ((4, 4), (12, 12)))
REQUESTS = {
    "/generate": ("application/json", b'{"z": [0.5, -0.5]}'),
    "/encode": ("image/png", encode_png(DIGIT)),
}


class Walk:
    """Records the files that the thread passes in which it is installed."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        """Record a call or a return; see sys.setprofile."""
        if event not in ("call", "return") or not frame.f_code.co_filename.startswith(APP):
            return
        at = frame if event == "call" else frame.f_back
        while at is not None and not at.f_code.co_filename.startswith(APP):
            at = at.f_back
        if at is not None:
            self.steps.append(at.f_code.co_filename.removeprefix(APP))

    @property
    def files(self) -> list[str]:
        """The files in the order of the walk, each as often as it was moved to."""
        return [name for name, _ in itertools.groupby(self.steps)]


def main() -> None:
    walk = Walk()
    settings = Settings(model_store=ROOT / "model_store", reload_interval_s=0)
    http_class: Any = functools.partial(LimitedHttpProtocol, Connections(settings))
    config = uvicorn.Config(
        create_app(settings), port=0, http=http_class, ws="none", log_level="warning", access_log=False,
        proxy_headers=False, server_header=False,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    threading.setprofile(walk)
    thread.start()
    threading.setprofile(None)
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.05)
        port = server.servers[0].sockets[0].getsockname()[1]
        for path, (media_type, body) in REQUESTS.items():
            _show(path, _walked(walk, port, path, media_type, body))
    finally:
        server.should_exit = True
        thread.join(30)


def _walked(walk: Walk, port: int, path: str, media_type: str, body: bytes) -> list[str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for _ in range(3):
        time.sleep(0.2)  # what comes after a request is over
        walk.steps.clear()
        connection.request("POST", path, body, {"content-type": media_type})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
    time.sleep(0.2)
    connection.close()
    return walk.files


def _show(path: str, files: list[str]) -> None:
    print(f"{path}: {len(set(files))} files, {len(files) - 1} moves")
    for name, count in Counter(files).items():
        print(f"  {count:3} {name}")
    if "--steps" in sys.argv:
        print("  " + " ".join(files))


if __name__ == "__main__":
    main()
