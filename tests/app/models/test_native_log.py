"""Native output while a library is imported: kept, logged when it is wanted, never lost with the process."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

import pytest

from tests.support.paths import ROOT

BEGIN = """
import logging, os, sys, threading
from app.models import native_log
logging.basicConfig(format="%(levelname)s %(message)s", level=os.environ.get("LEVEL", "INFO"))
"""
NATIVE = b"I0000 cudart_stub.cc:31] Could not find cuda drivers\n"
SPEAKING = f"""
with native_log.held():
    os.write(2, {NATIVE!r})
    logging.info("from Python")
    print("printed", file=sys.stderr)
"""


def run(program: str, command: Sequence[str] = (sys.executable, "-c"), **environment: str):
    return subprocess.run(
        [*command, BEGIN + program],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_native_output_is_kept_from_standard_error_and_pythons_is_not():
    done = run(SPEAKING + "os.write(2, b'native, later\\n')")
    assert (done.returncode, done.stderr) == (0, "INFO from Python\nprinted\nnative, later\n")


def test_it_is_logged_for_debugging():
    shown = run(SPEAKING, LEVEL="DEBUG").stderr.splitlines()
    assert shown == ["INFO from Python", "printed", f"DEBUG TensorFlow: {NATIVE.decode().strip()}"]


def test_it_is_logged_whenever_the_block_fails():
    done = run(SPEAKING + "    raise ImportError('no such library')", LEVEL="ERROR")
    assert done.returncode == 1
    assert done.stderr.startswith(f"printed\nERROR TensorFlow: {NATIVE.decode()}Traceback")
    assert done.stderr.endswith("ImportError: no such library\n")


@pytest.mark.parametrize(
    ("death", "code"),
    [("os.abort()", -signal.SIGABRT), ("os.kill(os.getpid(), 9)", -signal.SIGKILL), ("os._exit(5)", 5)],
)
def test_it_is_written_out_if_the_process_dies(death, code):
    done = run(SPEAKING + f"    {death}")
    assert done.returncode == code
    assert done.stderr == f"INFO from Python\nprinted\n{NATIVE.decode()}"


def test_as_json_it_is_lines_of_json():
    told = run("""
from app.telemetry import logs
from app.settings import Settings
logging.getLogger().handlers.clear()
logs.configure(Settings(log_format="json", log_level="DEBUG"))
""" + SPEAKING.replace('    print("printed", file=sys.stderr)\n', ""))  # fmt: skip
    line = json.loads(told.stderr.splitlines()[-1])
    assert (line["level"], line["logger"]) == ("DEBUG", "app.models.native_log")
    assert "cuda drivers" in line["message"]


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_no_line_of_another_thread_is_lost_or_broken(unbuffered):
    done = run("""
ended, counts = threading.Event(), [0, 0]
def speak(number):
    while not ended.is_set():
        logging.info("%d %d %s", number, counts[number], "." * 50)
        counts[number] += 1
threads = [threading.Thread(target=speak, args=(number,)) for number in range(2)]
for thread in threads:
    thread.start()
for _ in range(20):
    with native_log.held():
        os.write(2, b"native\\n")
ended.set()
for thread in threads:
    thread.join()
print(*counts)
""", PYTHONUNBUFFERED=unbuffered)  # fmt: skip
    counts = [int(count) for count in done.stdout.split()]
    assert min(counts) > 20
    for number, count in enumerate(counts):
        found = [line for line in done.stderr.splitlines() if line.startswith(f"INFO {number} ")]
        assert found == [f"INFO {number} {i} {'.' * 50}" for i in range(count)]
    assert len(done.stderr.splitlines()) == sum(counts)


def test_afterwards_all_is_as_it_was():
    done = run("""
def state():
    return sorted(os.listdir("/proc/self/fd")), os.readlink("/proc/self/fd/2"), sys.stderr.name, sys.stderr.fileno()
before = state()
for _ in range(3):
    with native_log.held():
        handler = logging.StreamHandler()  # as a library that is imported makes one
assert state() == before, (before, state())
handler.stream.write("still there")
""")  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "still there")


@pytest.mark.parametrize(
    ("limit", "command"),
    [
        ("no standard error", ["bash", "-c", f'exec "{sys.executable}" -c "$0" 2>&-']),
        ("no folder for the file", [sys.executable, "-c"]),
        ("no second process", [sys.executable, "-c"]),
    ],
)
def test_where_it_cannot_be_kept_the_block_runs_all_the_same(limit, command):
    spoil = {
        "no folder for the file": "import tempfile; tempfile.tempdir = '/nowhere'",
        "no second process": "sys.executable = '/nowhere'",
    }.get(limit, "")
    done = run(f"{spoil}\nwith native_log.held():\n    print('done')", command)
    assert (done.returncode, done.stdout) == (0, "done\n")
