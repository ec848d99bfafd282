"""ClosedLoopResult-loop load with wrk: what a server answers when each of c clients waits for its answer."""

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}


@dataclass(frozen=True)
class ClosedLoopResult:
    """One point."""

    per_second: float
    p50_ms: float
    p99_ms: float
    errors: int


def closed_loop(
    port: int, path: str, clients: int, seconds: float, post: tuple[str, bytes] | None = None
) -> ClosedLoopResult:
    """`clients` connections for `seconds`; with `post`, a content type and a body, else GET.

    Raises:
        RuntimeError: wrk is missing or failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds:g}s", "--latency", "--timeout", "10s"]
        if post is not None:
            command += ["-s", str(_script(Path(folder), *post))]
        try:
            done = subprocess.run(
                [*command, f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, check=True
            )
        except (OSError, subprocess.CalledProcessError) as exc:
            raise RuntimeError(f"wrk: {exc}. On Debian: apt-get install wrk") from exc
    return parse(done.stdout)


def _script(folder: Path, kind: str, body: bytes) -> Path:
    (folder / "body").write_bytes(body)
    script = folder / "post.lua"
    # Each z is another one, so that nothing can be answered from a cache.
    vary = (
        "request = function() return wrk.format(nil, nil, nil, string.format('{\"z\": [%.6f, %.6f]}', "
        "math.random() * 4 - 2, math.random() * 4 - 2)) end\n"
        if body.startswith(b'{"z": [0.5')
        else ""
    )
    script.write_text(
        f'wrk.method = "POST"; wrk.headers["Content-Type"] = "{kind}"\n'
        f'local f = io.open("{folder}/body", "rb"); wrk.body = f:read("*a"); f:close()\n{vary}'
    )
    return script


def parse(text: str) -> ClosedLoopResult:
    """Read the output of wrk."""
    errors = sum(int(number) for number in re.findall(r"(?:connect|read|write|timeout) (\d+)", text))
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    rate = re.search(r"Requests/sec: +([\d.]+)", text)
    return ClosedLoopResult(
        float(rate[1]) if rate else 0.0,
        _latency(text, 50),
        _latency(text, 99),
        errors + (int(refused[1]) if refused else 0),
    )


def _latency(text: str, percent: int) -> float:
    found = re.search(rf"^ +{percent}% +([\d.]+)(us|ms|s|m)\b", text, re.MULTILINE)
    return float(found[1]) * UNITS[found[2]] if found else 0.0
