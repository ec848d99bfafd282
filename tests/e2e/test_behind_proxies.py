"""Behind a proxy whose connections are shared, nobody gets the answer to another's request, whatever others send."""

import asyncio
import functools
import itertools
import json
import os
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from app.server.connections import Connections
from app.server.protocol import LimitedHttpProtocol
from app.settings import Settings
from tests.app.server.test_framing import echo
from tests.support.http_streams import NEXT, TRAILERS
from tests.support.live import serving
from tests.support.paths import ROOT
from tests.support.server import free_port

pytestmark = [pytest.mark.slow]

PROXY = ROOT / "deploy" / "haproxy"
UPGRADES = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n",
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    b"Connection: upgrade, keep-alive\r\nUpgrade: foo/1\r\nExpect: 100-continue\r\n",
)
# As its manual has it for WebSockets, with connections that are kept.
NGINX = """
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
{user}
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  upstream service {{ server 127.0.0.1:{service}; keepalive 8; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://service;
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
    }}
  }}
}}
"""


def nginx(folder: Path, service: int, port: int) -> list[str]:
    """Write its configuration; return its command."""
    user = "user root;" * (os.getuid() == 0)
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, service=service, port=port, user=user))
    return ["nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]


def haproxy(folder: Path, service: int, port: int) -> list[str]:
    """Write the configuration that we ship, for one server without an engine's names; return its command."""
    text = (PROXY / "haproxy.cfg").read_text().replace("/usr/local/etc/haproxy", str(PROXY))
    text = re.sub(r"server-template server 8 \S+", f"server one 127.0.0.1:{service}", text)
    text = text.replace("bind :8080\n", f"bind 127.0.0.1:{port}\n").replace(
        "bind :8404", f"bind 127.0.0.1:{free_port()}"
    )
    text = re.sub(r".*default-server (resolvers|init-state).*\n", "", text)
    (folder / "haproxy.cfg").write_text(text)
    return ["haproxy", "-db", "-f", str(folder / "haproxy.cfg")]


@asynccontextmanager
async def behind(proxy, folder: Path, service: int) -> AsyncIterator[int]:
    """The port of a proxy before a service."""
    port = free_port()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(proxy(folder, service, port), stdout=log, stderr=log)
    try:
        await until_it_answers(process, port)
        yield port
    finally:
        process.terminate()
        process.wait()


async def until_it_answers(process: subprocess.Popen[bytes], port: int) -> None:
    async with asyncio.timeout(20):
        while process.poll() is None:
            with suppress(OSError, asyncio.IncompleteReadError):
                async with connected(port) as (reader, writer):
                    if await exchange(reader, writer, b"GET /readyz HTTP/1.1\r\nHost: h\r\n\r\n") is not None:
                        return
            await asyncio.sleep(0.1)
    raise AssertionError("the proxy has ended")


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *pieces: bytes) -> str | None:
    """Send a request; return the body that the service saw in it, in hex, or None if it did not see it."""
    for piece in pieces:
        writer.write(piece)
        await asyncio.sleep(0.001 * (len(pieces) > 1))
    while (head := await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 1"):
        pass
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2] if b": " in line)
    if b"chunked" in fields.get(b"transfer-encoding", b""):
        await reader.readuntil(b"0\r\n\r\n")
    else:
        await reader.readexactly(int(fields.get(b"content-length", 0)))
    found = re.search(rb"(?i)x-seen: (.*)\r\n", head)
    return json.loads(found[1])["body"] if found else None


def harmful(n: int) -> list[bytes]:
    """The n-th of what attackers send, in its pieces."""
    if n % 2:
        head = b"POST /generate HTTP/1.1\r\nHost: h\r\n" + UPGRADES[n // 2 % len(UPGRADES)]
        head += b"Content-Length: %d\r\n\r\n" % len(NEXT)
        return [head, NEXT] if n // 2 // len(UPGRADES) % 2 else [head + NEXT]
    head = b"POST /generate HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
    trailer = TRAILERS[n // 2 % len(TRAILERS)] + b"\r\n\r\n"
    return [head, trailer] if n // 2 // len(TRAILERS) % 2 else [head + trailer]


class Traffic:
    """Callers of both kinds, until a time."""

    def __init__(self, port: int, seconds: float) -> None:
        self.port = port
        self.end = time.monotonic() + seconds
        self.told: Counter[str] = Counter()
        self.slowest = 0.0
        self.numbers = itertools.count()

    async def ordinary(self) -> None:
        while time.monotonic() < self.end:
            async with connected(self.port) as streams:
                for _ in range(20):
                    body = b"mine-%d" % next(self.numbers)
                    request = b"POST /generate HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
                    began = time.monotonic()
                    seen = await asyncio.wait_for(exchange(*streams, request), 10)
                    self.slowest = max(self.slowest, time.monotonic() - began)
                    self.told["answered" if seen == body.hex() else f"another: {seen}"] += 1

    async def hostile(self) -> None:
        while time.monotonic() < self.end:
            with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                async with connected(self.port) as streams:
                    for _ in range(5):
                        await asyncio.wait_for(exchange(*streams, *harmful(next(self.numbers))), 2)
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("proxy", [nginx, haproxy])
@pytest.mark.parametrize("seconds", [6, pytest.param(60, marks=pytest.mark.long)])
async def test_nobody_gets_what_was_meant_for_another(proxy, seconds, tmp_path):
    if shutil.which(proxy.__name__) is None:
        pytest.skip(f"needs {proxy.__name__}: apt-get install {proxy.__name__}")
    protocol = functools.partial(LimitedHttpProtocol, Connections(Settings(model_store=tmp_path)))
    async with serving(echo, protocol) as service, behind(proxy, tmp_path, service) as port:
        traffic = Traffic(port, seconds)
        await asyncio.gather(*(traffic.ordinary() for _ in range(8)), *(traffic.hostile() for _ in range(4)))
    assert traffic.told.keys() == {"answered"}, traffic.told
    assert traffic.told["answered"] >= 1000
    assert traffic.slowest < 1
