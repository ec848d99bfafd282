"""Measures the service beside its peers on this machine: scripts/bench. Needs wrk, and uv for the peers.

Every figure is the median of the runs. A run starts one server after the other, so that what disturbs the machine for
a while disturbs all of them.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections import defaultdict
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from benchmarks import report, service
from benchmarks.awake import cores_awake
from benchmarks.servers import ALL, Contender, running
from benchmarks.wrk import closed_loop
from tests.support.paths import ROOT
from tests.support.processes import resident_mb

CLIENTS = (1, 16, 64)
ROUTES = ("generate", "encode")

Points = dict[str, dict[str, dict[str, float]]]  # server -> "route clients" -> measure -> value


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write."""
    options = _parser().parse_args(arguments)
    chosen = [each for each in ALL if not options.only or any(name in each.name for name in options.only)]
    result: dict[str, Any] = {"machine": _machine(), "store": options.store.name, "runs": options.runs}
    result["awake"] = options.awake
    with cores_awake() if options.awake else nullcontext():
        result["points"] = against_peers(chosen, options.store, options.runs, options.seconds)
    print(report.table(result["points"]), flush=True)
    if not options.only:
        result["own"] = service.measure(options.store, options.runs, options.seconds)
        print(report.own_table(result["own"]))
    if options.out is None:
        return 0
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "bench.json").write_text(json.dumps(result, indent=1) + "\n")
    report.picture(result["points"], options.out / "bench.png")
    return 0


def against_peers(chosen: list[Contender], store: Path, runs: int, seconds: float) -> Points:
    """Return the median of every point."""
    seen: dict[str, dict[str, list[dict[str, float]]]] = defaultdict(lambda: defaultdict(list))
    for run in range(runs):
        for contender in chosen:
            print(f"run {run + 1}: {contender.name}", file=sys.stderr, flush=True)
            for point, values in _points(contender, store, seconds):
                seen[contender.name][point].append(values)
    return {
        name: {
            point: {key: statistics.median(each[key] for each in found) for key in found[0]}
            for point, found in points.items()
        }
        for name, points in seen.items()
    }


def _points(contender: Contender, store: Path, seconds: float) -> list[tuple[str, dict[str, float]]]:
    found = []
    starts = [(route,) for route in ROUTES] if contender.one_route else [ROUTES]
    for routes in starts:
        with running(contender, routes[0], store) as (port, process):
            for route in routes:
                for clients in CLIENTS:
                    point = closed_loop(port, f"/{route}", clients, seconds, contender.body(route))
                    values = {**vars(point), "mb": resident_mb(process)}
                    found.append((f"{route} {clients}", values))
    return found


def _machine() -> dict[str, Any]:
    model = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "")
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {
        "cpu": model.partition(":")[2].strip(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "load_before": os.getloadavg()[0],
        "commit": commit.stdout.strip(),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4, help="length of one point, in whole seconds for wrk")
    parser.add_argument("--store", type=Path, default=ROOT / "model_store", help="what all of them serve")
    parser.add_argument("--awake", action="store_true", help="keep idle cores from halting, beside the peers")
    parser.add_argument("--out", type=Path, help="folder for bench.json and bench.png; by default nothing is written")
    parser.add_argument("--only", nargs="*", help=f"parts of names; among {', '.join(each.name for each in ALL)}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
