"""Progress of a training run on the console: a line per epoch, and bars for the steps, the preparation and the export.

Bars are drawn on a terminal only, with their totals from the start; no line is longer than `COLUMNS`.
"""

import math
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from app.cli.command_line import COLUMNS
from training.loop.estimate import Estimate
from training.loop.history import Epoch
from training.loop.train import Progress as Stand

HEAD = "nats per image: loss = cross-entropy + KL, in training and on the test images"


def say(console: Console, text: str) -> None:
    """Print a text, wrapped between words to `COLUMNS`; paths are not broken."""
    console.print(*textwrap.wrap(text, COLUMNS, break_on_hyphens=False, break_long_words=False), sep="\n", markup=False)


@contextmanager
def training(console: Console, epochs: int) -> Iterator[Callable[[Stand], None]]:
    """Yield a function that shows a run's progress: lines always, and a bar on a terminal."""
    bar = _bar(console, TimeRemainingColumn())
    task: TaskID | None = None

    def on_progress(stand: Stand) -> None:
        nonlocal task
        if task is None:
            console.print(HEAD)
            task = bar.add_task("training", total=stand.steps, completed=stand.step, more="", unit="steps")
        more = f"loss {_nats(stand.running.loss)}" if stand.running.loss else ""
        bar.update(task, completed=stand.step, more=more)
        if stand.warning:
            say(console, f"warning: {stand.warning}")
        if stand.finished:
            console.print(line(stand.finished, epochs))

    with bar:
        yield on_progress


@contextmanager
def counting(console: Console, what: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function (done, of) that shows a bar from its first call on."""
    bar = _bar(console, TimeRemainingColumn())

    def on_progress(done: int, of: int) -> None:
        task = bar.task_ids[0] if bar.task_ids else bar.add_task(what, total=of, more="", unit=unit)
        bar.update(task, completed=done)

    with bar:
        yield on_progress


@contextmanager
def estimating(console: Console, *parts: str) -> Iterator[Callable[[str, float], None]]:
    """Yield a function (part, share done) that shows one bar for all parts, with an estimate of the remaining time."""
    estimate = Estimate(parts)
    bar = _bar(console, _Left(estimate))
    task = bar.add_task(parts[0], total=100, more="", unit="%")

    def on_progress(part: str, share: float) -> None:
        estimate.update(part, share)
        bar.update(task, description=part, completed=round(100 * estimate.done()))

    with bar:
        yield on_progress


class _Left(ProgressColumn):
    """A column with the remaining time of an estimate, in rich's format."""

    def __init__(self, estimate: Estimate) -> None:
        super().__init__()
        self._estimate = estimate

    def render(self, task: Task) -> Text:
        left = self._estimate.left()
        if left is None:
            return Text("-:--:--", style="progress.remaining")
        minutes, seconds = divmod(math.ceil(left), 60)
        return Text(f"{minutes // 60}:{minutes % 60:02}:{seconds:02}", style="progress.remaining")


def _bar(console: Console, left: ProgressColumn) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f} {task.fields[unit]}"),
        TextColumn("{task.fields[more]}"),
        left,
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def line(row: Epoch, epochs: int) -> str:
    """Return an epoch as a line: the loss and its two parts, as HEAD explains, and the time if there is room."""
    train, test = (
        f"{_nats(losses.loss):>6} = {_nats(losses.xent):>6} + {_nats(losses.kl):>5}"
        for losses in (row.train, row.validation)
    )
    text = f"epoch {row.epoch:>{len(str(epochs))}}/{epochs}  loss {train}  test {test}"
    timed = f"{text}  {row.seconds:.{0 if row.seconds >= 10 else 1}f} s"
    return timed if len(timed) <= COLUMNS else text


def _nats(number: float) -> str:
    """Format a number in at most six characters, if it is below a million."""
    return f"{number:.{2 if number < 1000 else 1 if number < 10_000 else 0}f}"
