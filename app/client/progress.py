"""A progress bar for long lists: shown on request, on a terminal, if rich is installed."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Tell = Callable[[int, int | None], None]
Progress = bool | Tell


@contextmanager
def showing(progress: Progress, what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Yield a function to call with the number of further finished images.

    Args:
        progress: False for nothing, True for a bar on stderr, or a function of (done, total or None).
        what: the label of the bar.
        total: the number of images, or None if it is unknown.
    """
    done = 0
    with _drawing(progress, what) as tell:

        def more(images: int) -> None:
            nonlocal done
            done += images
            tell(done, total)

        yield more


@contextmanager
def _drawing(progress: Progress, what: str) -> Iterator[Tell]:
    if callable(progress):
        yield progress
        return
    bar = _bar() if progress and sys.stderr.isatty() else None
    if bar is None:
        yield lambda done, total: None
        return
    with bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _bar() -> Any:
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError:
        return None
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)
