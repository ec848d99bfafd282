"""Processes as /proc shows them: descendants and memory."""

from collections.abc import Iterator
from pathlib import Path


def resident_mb(process: int) -> float:
    """Memory of a process and its descendants, in MB; pages that they share count in each."""
    return sum(_resident_kb(each) for each in family(process)) / 1024


def family(process: int) -> set[int]:
    """A process and its descendants."""
    parents = dict(_parents())
    found = {process}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def _parents() -> Iterator[tuple[int, int]]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            yield int(path.parent.name), int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended


def _resident_kb(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/status").read_text().partition("VmRSS:")[2].split()[0])
    except (OSError, IndexError):
        return 0  # it has ended
