"""Damaged bodies of every kind against the whole application: python -m tests.reliability.fuzz --seconds 600.

Four parsers are tried in turn: picture files, JSON, npy and binary tensors. Mutations are blind (what the decoders do
is C and would not be seen by a tracer), but know the formats: PNG checksums are mended and its pixels packed anew, JSON
and npy get words that mean something. The service runs in a child process, so that its death is a result and not the
end; the body under way is kept in a file. Exits with 1 after a crash, a 5xx, a request of more than ten
seconds, or if memory grows.
"""

import argparse
import asyncio
import base64
import io
import json
import logging
import mmap
import os
import random
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from app.api.formats import npy
from app.main import create_app
from app.models.loader import release_memory
from app.settings import Settings

HANG_S = 10.0
MAX_BODY = 2**20  # bytes of a body
WARM = 0.2  # share of the time before memory is looked at: caches fill, and the allocator finds its size
# From then to the end. Pictures leave gaps of up to 90 MB in the C library's heap, which close again; what the
# other parsers leave is flat to one.
MAX_GROWTH_MB = 128.0
KEPT = 20  # failures that are told in full

Case = tuple[str, str, dict[str, str], bytes]  # parser, path, header fields, body
Mutate = Callable[[random.Random, bytes], bytes]

WORDS = {
    "json": b"""[ ] { } , : " \\ \\u0000 \\ud800 null true -0 1e999 -1e-999 NaN Infinity 9223372036854775808 0.1 [[ ]]
    "z" "images" "sample" "seed" "instances" "inputs" "b64" "data" "shape" "BYTES" "UINT8" \xff \xef\xbb\xbf""".split(),
    "npy": b"""|u1 <f4 >f8 <f2 |O |V8 <M8[s] |b1 <c8 True False () (1,) (0,) (28,28) (-1,) (9**9,) 'descr' 'shape' { }
    [('a','<f4')] ('<f4',(9,)) 0x10 1_0 (1,)*9 b''""".split(),
    "image": [
        *(struct.pack(">I", n) for n in (0, 1, 28, 65535, 2**31 - 1, 2**31, 2**32 - 1)),
        *b"\xff\xd8 \xff\xd9 \xff\xda IDAT tEXt eXIf acTL VP8X ANIM Exif\0\0II*\0".split(),
    ],
    "binary": [*(struct.pack("<I", n) for n in (0, 1, 4, 784, 2**31 - 1, 2**32 - 1)), b"\x7f\xf0", b"\xff\xff\xff\xff"],
}


@dataclass
class Result:
    """What came of a run."""

    requests: Counter[str] = field(default_factory=Counter)  # by parser and status
    failures: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    slowest: str = ""
    warm_mb: float = 0.0
    peak_mb: float = 0.0
    end_mb: float = 0.0


def main(arguments: list[str] | None = None) -> int:
    """Fuzz for a while, tell what was found."""
    options = _parser().parse_args(arguments)
    if options.child:
        logging.disable(logging.WARNING)  # one for each damaged form
        print(json.dumps(vars(asyncio.run(_fuzz(options.seconds, options.seed, options.store, options.child)))))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        latest = Path(folder) / "body"
        latest.write_bytes(bytes(MAX_BODY * 2))
        command = [sys.executable, "-m", "tests.reliability.fuzz", *(arguments or sys.argv[1:]), "--child", str(latest)]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=False, timeout=options.seconds * 2 + 300)
        if done.returncode:
            _keep(latest.read_bytes(), options.crash)
            print(f"the service died with {done.returncode}; the request is in {options.crash}")
            return 1
    return _tell(json.loads(done.stdout.splitlines()[-1]))


def _tell(result: dict[str, Any]) -> int:
    for line, count in sorted(result["requests"].items()):
        print(f"{line:16} {count:>10,}")
    print(f"requests {sum(result['requests'].values()):,}; failures {len(result['failures'])}")
    print(f"slowest {result['slowest_s'] * 1e3:.0f} ms: {result['slowest']}")
    print(f"resident MB: warm {result['warm_mb']:.0f}, peak {result['peak_mb']:.0f}, end {result['end_mb']:.0f}")
    for failure in result["failures"][:KEPT]:
        print(failure)
    grown = result["end_mb"] - result["warm_mb"] > MAX_GROWTH_MB
    return 1 if result["failures"] or grown else 0


def _keep(latest: bytes, crash: Path) -> None:
    size = int.from_bytes(latest[:4], "little")
    crash.write_bytes(latest[4 : 4 + size])


async def _fuzz(seconds: float, seed: int, store: Path, latest: Path) -> Result:
    settings = Settings(model_store=store, max_body_bytes=2 * MAX_BODY, log_level="ERROR")
    app = create_app(settings)
    result = Result()
    with latest.open("r+b") as file, mmap.mmap(file.fileno(), 0) as note:
        async with app.router.lifespan_context(app):
            begin = time.monotonic()
            for case in _cases(random.Random(seed)):
                note[: 4 + len(case[3])] = struct.pack("<I", len(case[3])) + case[3]
                await _try(app, case, result)
                gone = time.monotonic() - begin
                if not result.warm_mb and gone > WARM * seconds:
                    result.warm_mb = _used_mb()
                if gone > seconds:
                    break
    result.end_mb, result.peak_mb = _used_mb(), _peak_mb()
    return result


async def _try(app: Any, case: Case, result: Result) -> None:
    parser, path, _, body = case
    began = time.perf_counter()
    try:
        status = await _status(app, case)
    except Exception as exc:
        status = 599
        result.failures.append(f"{parser} {path} {exc!r} {base64.b64encode(body[:300]).decode()}")
    took = time.perf_counter() - began
    result.requests[f"{parser} {status}"] += 1
    if took > result.slowest_s:
        result.slowest_s, result.slowest = took, f"{parser} {path}, {len(body):,} bytes, {status}"
    if status >= 500 or took > HANG_S:
        result.failures.append(f"{parser} {path} {status} {took:.1f} s {base64.b64encode(body[:300]).decode()}")


async def _status(app: Any, case: Case) -> int:
    """The status of one request, put to the application directly: a client would cost more than most answers."""
    _, path, fields, body = case
    headers = [(name.encode(), value.encode()) for name, value in fields.items()]
    address, _, query = path.partition("?")
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": address,
        "raw_path": address.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"host", b"fuzz"), (b"content-length", b"%d" % len(body)), *headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "state": {},
    }
    messages = [{"type": "http.request", "body": body, "more_body": False}]
    found: list[int] = []

    async def receive() -> Any:
        return messages.pop() if messages else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            found.append(message["status"])

    await app(scope, receive, send)
    return found[0]


def _cases(rng: random.Random) -> Iterator[Case]:
    """Damaged bodies without end, each parser in its turn."""
    seeds = _seeds()
    while True:
        for parser, bodies in seeds.items():
            path, fields, body = rng.choice(bodies)
            mutate = _mutated_picture if parser == "image" else _mutated(WORDS[parser])
            yield parser, path, fields, mutate(rng, body)[:MAX_BODY]


def _seeds() -> dict[str, list[tuple[str, dict[str, str], bytes]]]:
    pictures = [(kind, body) for kind, body in _pictures()]
    rng = np.random.default_rng(0)
    arrays = [
        rng.integers(0, 255, (2, 28, 28), np.uint8),
        rng.random((1, 28, 28), np.float32),
        np.zeros((28, 28), np.float16),
    ]
    z = rng.standard_normal((3, 2)).astype(np.float32)
    image = [("/encode", {"content-type": kind}, body) for kind, body in pictures]
    image += [("/reconstruct?invert=true&fit=none", {"content-type": kind}, body) for kind, body in pictures]
    image += [("/encode", {"content-type": "multipart/form-data; boundary=x"}, _form(pictures[:3]))]
    packed = [("/encode", array) for array in arrays] + [("/generate", z), ("/generate?scale=2", z.astype(">f8"))]
    return {
        "image": image,
        "json": [
            (path, {"content-type": "application/json"}, json.dumps(body).encode()) for path, body in _documents()
        ],
        "npy": [(path, {"content-type": "application/x-npy"}, npy.dumps(array)) for path, array in packed],
        "binary": list(_binaries(arrays[0], z, pictures[0][1])),
    }


def _pictures() -> Iterator[tuple[str, bytes]]:
    noise = np.random.default_rng(1).integers(0, 255, (60, 50, 4), np.uint8)
    digit = np.zeros((28, 28), np.uint8)
    digit[5:22, 12:16] = 240
    bare = Image.fromarray(digit)
    for kind, modes in {
        "PNG": ("L", "RGBA", "LA", "P", "1", "I;16"),
        "JPEG": ("L", "RGB", "CMYK"),
        "WEBP": ("RGB", "RGBA"),
        "BMP": ("L", "RGB", "1"),
    }.items():
        for mode in modes:
            picture = Image.fromarray(noise, "RGBA")
            whole = Image.fromarray(noise.view(np.uint16)[..., 0].copy()) if mode == "I;16" else picture.convert(mode)
            options: dict[str, Any] = {"progressive": mode == "L"} if kind == "JPEG" else {}
            yield f"image/{kind.lower()}", _saved(whole, kind, **options)
    exif = Image.Exif()
    exif[0x0112] = 6
    yield "image/jpeg", _saved(Image.fromarray(noise[..., :3].copy()), "JPEG", exif=exif)
    yield "image/png", _saved(bare, "PNG")


def _saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def _form(pictures: list[tuple[str, bytes]]) -> bytes:
    head = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\nContent-Type: %b\r\n\r\n%b\r\n'
    return b"".join(head % (kind.encode(), body) for kind, body in pictures) + b"--x--\r\n"


def _documents() -> list[tuple[str, Any]]:
    rows = [[0.5] * 28] * 28
    file = base64.b64encode(next(iter(_pictures()))[1]).decode()
    oip = {"name": "z", "shape": [2, 2], "datatype": "FP32", "data": [0, 1, -1, 0.5]}
    files = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [file]}
    return [
        ("/encode", {"images": [file, "data:image/png;base64," + file]}),
        ("/encode", {"images": [rows]}),
        ("/reconstruct?scale=2", {"images": [rows, file]}),
        ("/generate", {"z": [0.1, -2]}),
        ("/generate", {"z": [[0, 0], [1, 1e3]]}),
        ("/generate?columns=2&scale=2", {"sample": 5, "seed": 7}),
        ("/v1/models/encoder:predict", {"instances": [rows]}),
        ("/v1/models/encoder:predict", {"instances": [{"b64": file}, {"b64": file}]}),
        ("/v1/models/generator:predict", {"signature_name": "serving_default", "inputs": {"z": [[0, 1]]}}),
        ("/v2/models/generator/infer", {"id": "1", "inputs": [oip], "outputs": [{"name": "image"}]}),
        ("/v2/models/encoder/infer", {"inputs": [files], "parameters": {"binary_data_output": True}}),
    ]


def _binaries(images: Any, z: Any, picture: bytes) -> Iterator[tuple[str, dict[str, str], bytes]]:
    element = struct.pack("<I", len(picture)) + picture
    for model, name, datatype, shape, raw in (
        ("generator", "z", "FP32", list(z.shape), z.tobytes()),
        ("generator", "z", "FP64", list(z.shape), z.astype("<f8").tobytes()),
        ("encoder", "image", "UINT8", list(images.shape), images.tobytes()),
        ("encoder", "image", "BYTES", [2], element * 2),
    ):
        tensor = {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(raw)}}
        head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
        yield f"/v2/models/{model}/infer", {"inference-header-content-length": str(len(head))}, head + raw


def _mutated(words: list[bytes]) -> Mutate:
    """A way to damage bodies that knows these words."""

    def mutate(rng: random.Random, whole: bytes) -> bytes:
        data = bytearray(whole)
        for _ in range(rng.choice((0, 1, 1, 2, 3, 8, 40))):
            at, length = rng.randrange(len(data) + 1), rng.choice((1, 1, 2, 4, 16, 200))
            match rng.randrange(7):
                case 0:
                    data[at : at + 1] = bytes([rng.randrange(256)])
                case 1:
                    data[at : at + length] = rng.choice(words)
                case 2:
                    data[at:at] = rng.choice(words) * rng.choice((1, 1, 2, 1000))
                case 3:
                    del data[at : at + length]
                case 4:
                    data[at:at] = data[at : at + length] * rng.choice((1, 2, 300))
                case 5 if at < len(data):
                    data[at] ^= 1 << rng.randrange(8)
                case 6 if rng.random() < 0.2:
                    del data[at:]
        return bytes(data)

    return mutate


def _mutated_picture(rng: random.Random, whole: bytes) -> bytes:
    mutate = _mutated(WORDS["image"])
    if not whole.startswith(b"\x89PNG") or rng.random() < 0.3:
        return mutate(rng, whole)
    if rng.random() < 0.3:
        return _mended(_repacked(rng, whole, mutate))
    return _mended(mutate(rng, whole))


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at + 8 <= len(png):
        size = int.from_bytes(png[at : at + 4], "big")
        yield png[at + 4 : at + 8], png[at + 8 : at + 8 + size]
        at += 12 + size


def _mended(png: bytes) -> bytes:
    """The chunks as they are found, each with the checksum that it should have: else damage ends at the first one."""
    return png[:8] + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in _chunks(png)
    )


def _repacked(rng: random.Random, png: bytes, mutate: Mutate) -> bytes:
    """The same picture with damage inside the compressed stream's content."""
    parts = []
    for kind, data in _chunks(png):
        changed = zlib.compress(mutate(rng, zlib.decompress(data))) if kind == b"IDAT" else data
        parts.append(struct.pack(">I", len(changed)) + kind + changed + bytes(4))
    return png[:8] + b"".join(parts)


def _used_mb() -> float:
    """Resident memory without what is free and merely kept: what is left is held by something."""
    release_memory()
    return _resident_mb()


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _peak_mb() -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.reliability.fuzz", description="Damaged bodies of every kind."
    )
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--store", type=Path, default=Path("model_store"))
    parser.add_argument("--crash", type=Path, default=Path("crash.bin"), help="where a body that killed is written")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
