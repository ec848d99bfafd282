"""A training run as a person sees it: a bar for the steps, a line for every epoch, a bar for what comes after."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from training.history import Epoch
from training.train import Progress as Stand


@contextmanager
def training(console: Console, epochs: int) -> Iterator[Callable[[Stand], None]]:
    """A function to tell progress to; it draws a bar on a terminal, and prints the lines anywhere."""
    with _bar(console) as bar:
        task = bar.add_task("training", total=None, more="")

        def tell(stand: Stand) -> None:
            running = stand.running
            text = f"steps · loss {running.loss:.2f} = cross-entropy {running.xent:.2f} + KL {running.kl:.2f}"
            bar.update(task, completed=stand.step, total=stand.steps, more=text)
            if stand.warning:
                console.print(f"warning: {stand.warning}", highlight=False)
            if stand.finished:
                console.print(line(stand.finished, epochs), highlight=False)

        yield tell


@contextmanager
def counting(console: Console, what: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """A function to tell (done, of) to."""
    with _bar(console) as bar:
        task = bar.add_task(what, total=None, more=unit)
        yield lambda done, of: bar.update(task, completed=done, total=of)


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[more]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def line(row: Epoch, epochs: int) -> str:
    """One epoch in words: the total, then the parts it is the sum of, in nats per image."""
    return (
        f"epoch {row.epoch:>{len(str(epochs))}}/{epochs}"
        f"  loss {row.train.loss:7.2f} (cross-entropy {row.train.xent:6.2f} + KL {row.train.kl:5.2f})"
        f"  val_loss {row.validation.loss:7.2f} ({row.validation.xent:6.2f} + {row.validation.kl:5.2f})"
        f"  {row.seconds:5.2f} s"
    )
