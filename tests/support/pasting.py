"""A document's commands as a newcomer pastes them: `.ci/paste README.md`, at the root of a fresh clone.

document --plan--> Plan --serve, paste, compare--> Service, Session (terminal.py) --check--> the clone afterwards

The block with `scripts/serve` runs in one bash, all other blocks of sh in order in a second one that stays at the root
of the clone. Commands of unrun.py are left out. Standard library only: it runs where nothing is installed.
"""

import argparse
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.documents import Block, blocks_of, commands, inline_of
from tests.support.paths import ROOT
from tests.support.terminal import Failed, Service, Session, fetch, serving, session
from tests.support.unrun import runnable

SERVE = "scripts/serve"
PORT = 8000
URL = f"http://127.0.0.1:{PORT}"
OUTPUT = "out"  # where the document's commands write
READY_S = 1200  # installing included
ADDRESS_S = 10
BLOCK_S = 1200
ENVIRONMENT = ROOT / ".venv"
ENVIRONMENT_MB = 1650  # at most, with what serving needs on a host without a GPU
STOPPED = (0, 130)  # docs/client.md, the table of exit codes


@dataclass(frozen=True)
class Plan:
    """What is pasted.

    Attributes:
        serving: the block that serves, for a shell of its own.
        pasted: the other blocks, in order: sh to paste, json that shows what the block before it prints.
        written: files and folders that must be there afterwards, from the root of the clone.
    """

    serving: Block
    pasted: tuple[Block, ...]
    written: tuple[str, ...]


def plan(document: Path) -> Plan:
    """Read what a document's reader pastes.

    Raises:
        Failed: it has no block that serves, or one that cannot be pasted into a shell.
    """
    blocks = [block for block in blocks_of(document) if block.language in ("sh", "python", "json")]
    for block in blocks:
        if block.language == "python":
            raise Failed(f"{block}: a shell does not take Python; give it to .venv/bin/python as a heredoc")
    serving = [block for block in blocks if commands(block.text) == [SERVE]]
    if len(serving) != 1:
        raise Failed(f"{document.name}: {len(serving)} blocks are `{SERVE}` alone; one should be")
    pasted = tuple(block for block in blocks if block.language == "json" or runnable(block.text))
    return Plan(serving[0], pasted, written(document))


def written(document: Path) -> tuple[str, ...]:
    """Every path below OUTPUT that a document's commands or its inline code name, in order, each once."""
    lines = [line for block in blocks_of(document) if block.language == "sh" for line in commands(runnable(block.text))]
    words = [word for line in lines for word in shlex.split(line)]
    return tuple(dict.fromkeys(word for word in [*words, *inline_of(document)] if word.startswith(f"{OUTPUT}/")))


def shape(value: Any) -> Any:
    """Reduce JSON to its keys, the lengths of its lists and the kinds of its values."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value]
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def compare(block: Block, printed: str) -> None:
    """Compare JSON that is shown with the first that was printed.

    Raises:
        Failed: none was printed, or one of another shape.
    """
    start = printed.find("{")
    try:
        given, _ = json.JSONDecoder().raw_decode(printed, max(start, 0))
    except ValueError as exc:
        raise Failed(f"{block}: the block before it printed no JSON:\n{printed}") from exc
    if shape(given) != shape(json.loads(block.text)):
        raise Failed(f"{block}: another shape was printed:\n{json.dumps(given)}")


def paste(blocks: tuple[Block, ...], shell: Session) -> None:
    """Paste the blocks in order, print the time of each, and compare what is shown with what they print.

    Raises:
        Failed: at the first that fails, with its line and its output.
    """
    printed = ""
    for block in blocks:
        if block.language == "json":
            compare(block, printed)
            continue
        text, start = runnable(block.text), time.monotonic()
        try:
            printed = shell.paste(text, BLOCK_S)
        except Failed as exc:
            raise Failed(f"{block}: {exc}") from exc
        say(str(block), start, commands(text)[0])


def refuse_unless_fresh() -> None:
    """Check that pasting can show something here.

    Raises:
        Failed: the port is taken, or the clone is not as it was committed.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError as exc:
            raise Failed(f"port {PORT} of 127.0.0.1 is taken: the document's service cannot listen there") from exc
    if changed := status():
        raise Failed(f"this is no fresh clone:\n{changed}")
    if (ROOT / OUTPUT).exists():
        raise Failed(f"this is no fresh clone: {OUTPUT}/ is there")


def status() -> str:
    """What git says is changed or new."""
    command = ["git", "status", "--porcelain"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def check_clone(paths: tuple[str, ...]) -> None:
    """Check what the commands left behind.

    Raises:
        Failed: git sees a change, or a path is missing or empty.
    """
    if changed := status():
        raise Failed(f"the commands changed the clone:\n{changed}")
    for path in (ROOT / each for each in paths):
        files = [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else [path]
        if not files or not all(each.is_file() for each in files) or not any(each.stat().st_size for each in files):
            raise Failed(f"{path.relative_to(ROOT)} is missing or empty")


def environment_mb() -> int:
    """Measure the disk space of the virtual environment, in MB of 2**20 bytes."""
    files = (each for each in ENVIRONMENT.rglob("*") if each.is_file() and not each.is_symlink())
    return sum(each.stat().st_blocks * 512 for each in files) >> 20


def check_environment() -> int:
    """Measure the virtual environment, and return its MB.

    Raises:
        Failed: it is larger than it may be on a host without a GPU.
    """
    size = environment_mb()
    if size > ENVIRONMENT_MB and (ENVIRONMENT / ".kind").read_text().strip() == "cpu":
        raise Failed(f"the environment of {SERVE} takes {size} MB; at most {ENVIRONMENT_MB} are wanted")
    return size


def check_model() -> None:
    """Check that the version of the repository is still served.

    Raises:
        Failed: it is another one.
    """
    manifests = (json.loads(path.read_text()) for path in (ROOT / "model_store" / "manifests").glob("*.json"))
    shipped = max(manifests, key=lambda manifest: manifest["version"])
    served = json.loads(fetch(f"{URL}/model"))
    for name in ("version", "created"):
        if served[name] != shipped[name]:
            raise Failed(f"GET /model has the {name} {served[name]}; the shipped model has {shipped[name]}")


def check_end(service: Service) -> None:
    """Interrupt the service.

    Raises:
        Failed: it ends with another exit code than the documented ones.
    """
    code = service.interrupt()
    if code not in STOPPED:
        raise Failed(f"{SERVE}: exit code {code} after Ctrl-C\n{service.printed()}")


def newcomer() -> dict[str, str]:
    """The environment without what is set for this project, or for another virtual environment."""
    foreign = ("PYTHONPATH", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith("VAE_") and name not in foreign}


def say(where: str, start: float, what: str) -> None:
    """Print the time of a step."""
    print(f"{where:16} {time.monotonic() - start:7.1f} s  {what}", flush=True)


def run(document: Path) -> None:
    """Paste a document and check what came of it.

    Raises:
        Failed: something did not go as the document says.
    """
    planned = plan(document)
    refuse_unless_fresh()
    environment = newcomer()
    start = time.monotonic()
    with serving(planned.serving.text, ROOT, environment) as service:
        try:
            service.wait_ready(f"{URL}/readyz", READY_S)
            service.wait_last_line(URL, ADDRESS_S)
        except Failed as exc:
            raise Failed(f"{planned.serving}: {exc}") from exc
        say(str(planned.serving), start, f"{SERVE} is ready, in an environment of {check_environment()} MB")
        with session(ROOT, environment) as shell:
            paste(planned.pasted, shell)
        check_clone(planned.written)
        check_model()
        check_end(service)


def main() -> int:
    """Run from the command line: 0 if all went as the document says, 1 with the reason if not."""
    parser = argparse.ArgumentParser(prog=".ci/paste", description="Paste a document's commands, as a newcomer does.")
    parser.add_argument("document", nargs="?", default="README.md", help="from the root of the clone (README.md)")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it, and so would ours
    start = time.monotonic()
    try:
        run(ROOT / options.document)
    except Failed as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    say(options.document, start, "pasted: no error, nothing changed, the shipped model served")
    return 0
