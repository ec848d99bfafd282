"""Workers killed under load: `python -m tests.reliability.worker_kills --kills 5`.

Two workers, half of what they can do; now and then one of them gets SIGKILL. A request may fail only if it was under
way in the one that was killed, and another worker is there within fifteen seconds.
"""

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.reliability.load import SHEET, Load
from tests.support.paths import ROOT
from tests.support.server import Server, serving

WORKERS = 2
HALF = 0.5
BACK_S = 15.0
MAX_S = 120.0
CALM_S = 1.0  # between the return of one worker and the end of another


@dataclass(frozen=True)
class WorkerKills:
    """What came of all kills."""

    rate: float  # requests a second
    answered: int
    owned: int  # failed, and were under way in the worker that was killed
    others: int  # failed otherwise: there must be none
    back_s: list[float]  # from each kill to an answer of the worker that took its place

    def __str__(self) -> str:
        back = ", ".join(f"{seconds:.1f}" for seconds in self.back_s)
        return (
            f"{len(self.back_s)} kills at {self.rate:.0f} requests a second: {self.answered} answered, {self.owned} "
            f"failed in the killed worker, {self.others} elsewhere; back after {back} s"
        )


async def kill(server: Server, kills: int, seed: int = 0) -> WorkerKills:
    """Kill one worker after the other under a load of half of the capacity."""
    choice = random.Random(seed)
    load = Load(server.port, [SHEET])
    await load.closed_loop(8, 1)
    rate = HALF * await load.closed_loop(8, 3)
    load.forget()
    ended = asyncio.Event()
    driving = asyncio.create_task(load.open(rate, ended))
    ports: set[int] = set()  # of the clients of those that were killed
    back: list[float] = []
    for _ in range(kills):
        await asyncio.sleep(CALM_S)
        before = await asyncio.to_thread(server.answering)
        victim = choice.choice(sorted(before))
        owners = await asyncio.to_thread(server.owners)
        os.kill(victim, signal.SIGKILL)
        killed = time.monotonic()
        ports |= {port for port, owner in owners.items() if owner == victim}
        while not await asyncio.to_thread(server.answering) - before:
            if time.monotonic() > killed + MAX_S:
                raise RuntimeError("no worker took the place of the one that was killed")
            await asyncio.sleep(0.2)
        back.append(time.monotonic() - killed)
    ended.set()
    await driving
    load.close()
    owned = sum(each.port in ports for each in load.failed)
    return WorkerKills(rate, load.statuses[200], owned, len(load.failed) - owned, back)


def kill_workers(store: Path, kills: int) -> WorkerKills:
    """With a service of its own."""
    with tempfile.TemporaryDirectory() as folder, serving(store, Path(folder) / "log", workers=WORKERS) as server:
        found = asyncio.run(kill(server, kills))
        if (code := server.stop()) != 0:
            raise RuntimeError(f"exit code {code}:\n{server.log.read_text()}")
        return found


def main(arguments: list[str] | None = None) -> int:
    """Kill, print; 0 if only the killed workers' requests failed and all were back in time."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.worker_kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--store", type=Path, default=ROOT / "model_store")
    options = parser.parse_args(arguments)
    found = kill_workers(options.store, options.kills)
    print(found)
    return 0 if not found.others and max(found.back_s) <= BACK_S else 1


if __name__ == "__main__":
    sys.exit(main())
