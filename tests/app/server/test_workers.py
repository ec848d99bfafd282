import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.support.paths import ROOT

SUPERVISOR = """
import multiprocessing, time

def work():
    from app.server.workers import end_with_supervisor
    end_with_supervisor()
    import os
    print(os.getpid(), flush=True)
    time.sleep(60)

if __name__ == "__main__":
    multiprocessing.get_context("spawn").Process(target=work).start()
    time.sleep(60)
"""


def alive(process: int) -> bool:
    """Whether a process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_worker_ends_when_its_supervisor_is_killed(tmp_path):
    script = tmp_path / "supervisor_of_one.py"
    script.write_text(SUPERVISOR)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, script], env=environment, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        worker = int(supervisor.stdout.readline())
        assert alive(worker)
        supervisor.send_signal(signal.SIGKILL)
        deadline = time.monotonic() + 20
        while alive(worker):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_a_process_without_a_supervisor_is_left_alone():
    code = (
        "import threading; from app.server.workers import end_with_supervisor; "
        "end_with_supervisor(); print(threading.active_count())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
