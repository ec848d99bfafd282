"""A training run as a person sees it: a bar for the steps, a line for every epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from training.train import Epoch
from training.train import Progress as Stand


@contextmanager
def shown(console: Console, epochs: int) -> Iterator[Callable[[Stand], None]]:
    """A function to tell progress to; it draws a bar on a terminal, and prints the lines anywhere."""
    bar = Progress(
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("steps · {task.fields[running]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task("steps", total=None, running="")

        def tell(stand: Stand) -> None:
            text = f"loss {stand.running.loss:.2f} = cross-entropy {stand.running.xent:.2f} + KL {stand.running.kl:.2f}"
            bar.update(task, completed=stand.step, total=stand.steps, running=text)
            if stand.finished:
                console.print(line(stand.finished, epochs), highlight=False)

        yield tell


def line(row: Epoch, epochs: int) -> str:
    """One epoch in words: the total, then the parts it is the sum of, in nats per image."""
    return (
        f"epoch {row.epoch:>{len(str(epochs))}}/{epochs}"
        f"  loss {row.train.loss:7.2f} (cross-entropy {row.train.xent:6.2f} + KL {row.train.kl:5.2f})"
        f"  val_loss {row.validation.loss:7.2f} ({row.validation.xent:6.2f} + {row.validation.kl:5.2f})"
        f"  {row.seconds:5.2f} s"
    )
