"""The line that says where the service answers: true when it is printed, said once, as a person can open it."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from app.main import create_app
from app.server.announcement import address
from tests.support.fakes import FakeEngine
from tests.support.paths import ROOT

LINE = re.compile(r"INFO: +digit-vae serves version (\d+) at (http://\S+)")
PROGRAM = """
import sys
from app.cli.serve import parser
from app.server import run
from app.settings import Settings
from app.telemetry import logs
if __name__ == "__main__":
    logs.configure(Settings())
    options = parser("test").parse_args(["--port", "0", *sys.argv[1:]])
    config = run._config(Settings(), options.host, options.port, options.workers)
    config.app = "tests.app.server.test_announcement:fake_app"
    sys.exit(run._run(config))
"""


def fake_app() -> FastAPI:
    return create_app(open_engine=lambda stored, settings: FakeEngine())


@contextmanager
def speaking(tmp_path: Path, store: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The service on the fake engine, in as many processes as are asked for; its log is its standard error."""
    program = tmp_path / "program.py"  # that new processes of it import
    program.write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "VAE_MODEL_STORE": str(store)}
    command = [sys.executable, str(program), *arguments]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("workers", "host", "shown"), [("1", "localhost", "localhost"), ("2", "0.0.0.0", "127.0.0.1"), ("2", "::", "[::1]")]
)
def test_what_the_line_names_answers_when_it_is_printed(workers, host, shown, tmp_path, store):
    if ":" in host and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    before = []
    with speaking(tmp_path, store, "--workers", workers, "--host", host) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if found := LINE.match(line):
                break
            before.append(line)
        else:
            raise AssertionError("".join(before))
        assert httpx.get(f"{found[2]}/readyz").status_code == 200
        assert (found[1], found[2].rpartition(":")[0]) == ("1", f"http://{shown}")
        process.send_signal(signal.SIGTERM)
        after = process.stderr.read()
        assert process.wait() == 0, after
    assert "Uvicorn running" not in "".join(before)
    assert sum("startup complete" in line for line in before) == int(workers)
    assert "startup complete" not in after  # it was the last line of the start
    assert "http://" not in after


def test_a_port_that_is_taken_is_told_and_nothing_is_announced(tmp_path, store):
    with socket.create_server(("127.0.0.1", 0)) as other:
        for workers in ("1", "2"):
            port = str(other.getsockname()[1])
            with speaking(tmp_path, store, "--workers", workers, "--port", port) as process:
                _, shown = process.communicate(timeout=60)
            assert process.returncode != 0
            assert "in use" in shown
            assert not LINE.search(shown)


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("", "http://127.0.0.1:{}"),
        ("0.0.0.0", "http://127.0.0.1:{}"),
        ("0:0::0", "http://[::1]:{}"),
        ("fe80::1", "http://[fe80::1]:{}"),
        ("a.example", "http://a.example:{}"),
    ],
)
def test_the_address_is_one_that_can_be_opened(host, shown):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert address(host, listener) == shown.format(listener.getsockname()[1])


def test_a_socket_that_is_a_file_is_named(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        assert address("127.0.0.1", listener) == f"the socket {tmp_path / 'socket'}"


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True
