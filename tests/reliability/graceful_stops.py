"""Many stops with requests in flight: `python -m tests.reliability.graceful_stops --rounds 30`.

Each round starts the service, lets it read requests to the middle and others whole, sends SIGTERM, sends the rest, and
looks whether every one of them was answered and how the process ended.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.reliability.load import BROKEN, SHEET, post
from tests.reliability.overload import exchange
from tests.support.paths import DIGIT, ROOT
from tests.support.server import Server, serving

HALVES = 12  # requests whose body is half there when the signal comes
WHOLES = 4  # and that are all there, but not answered
GRACE_S = 20
NOISE = ("Traceback", "corrupted", "double free", "Segmentation", "free():")


@dataclass(frozen=True)
class Stop:
    """What came of one stop."""

    workers: int
    statuses: list[int]
    code: int
    seconds: float
    noise: list[str]  # lines of the log that tell of a crash

    @property
    def clean(self) -> bool:
        """Whether it went as it should."""
        return set(self.statuses) == {200} and self.code == 0 and self.seconds < GRACE_S and not self.noise


async def _in_flight(server: Server) -> tuple[list[int], float]:
    """The statuses of what was in flight, and when the signal was sent."""
    encode = post("/encode", "image/png", DIGIT)
    middle = len(encode) - len(DIGIT) // 2
    halves = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(HALVES)]
    for _, writer in halves:
        writer.write(encode[:middle])
    wholes = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(WHOLES)]
    await asyncio.sleep(0.3)  # the service has read what was sent
    answers = [asyncio.create_task(_status(*pair, SHEET)) for pair in wholes]
    await asyncio.sleep(0.003)
    server.process.terminate()
    sent = time.monotonic()
    await asyncio.sleep(0.3)
    answers += [asyncio.create_task(_status(*pair, encode[middle:])) for pair in halves]
    statuses = await asyncio.gather(*answers)
    for _, writer in (*halves, *wholes):
        writer.close()
    return statuses, sent


async def _status(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> int:
    try:
        async with asyncio.timeout(GRACE_S):
            return await exchange(reader, writer, request)
    except (OSError, asyncio.IncompleteReadError, TimeoutError):
        return BROKEN


def stop(store: Path, workers: int) -> Stop:
    """One round."""
    with tempfile.TemporaryDirectory() as folder:
        with serving(store, Path(folder) / "log", workers=workers) as server:
            statuses, sent = asyncio.run(_in_flight(server))
            code = server.process.wait(60)
            took = time.monotonic() - sent
        lines = (Path(folder) / "log").read_text().splitlines()
    return Stop(workers, statuses, code, took, [line for line in lines if any(word in line for word in NOISE)])


def main(arguments: list[str] | None = None) -> int:
    """Stop, count, print; 0 if every stop was clean."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.graceful_stops", description=__doc__)
    parser.add_argument("--rounds", type=int, default=30, help="with one worker and with two in turn")
    parser.add_argument("--store", type=Path, default=ROOT / "model_store")
    options = parser.parse_args(arguments)
    stops = []
    for n in range(options.rounds):
        stops.append(stop(options.store, 1 + n % 2))
        print(f"{n + 1}: {stops[-1]}", file=sys.stderr, flush=True)
    statuses = Counter(status for each in stops for status in each.statuses)
    print(f"{len(stops)} stops; in flight {statuses.total()}, by status {dict(statuses)}; exit codes "
          f"{dict(Counter(each.code for each in stops))}; slowest {max(each.seconds for each in stops):.1f} s; "
          f"not clean: {sum(not each.clean for each in stops)}")  # fmt: skip
    return 0 if all(each.clean for each in stops) else 1


if __name__ == "__main__":
    sys.exit(main())
