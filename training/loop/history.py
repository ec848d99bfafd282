"""The history of a run: a row of losses per epoch."""

import csv
from dataclasses import dataclass
from pathlib import Path

from training.loop.losses import Losses


@dataclass(frozen=True)
class Epoch:
    """One epoch of the history: its mean losses over images."""

    epoch: int  # from 1
    train: Losses  # over the epoch's batches, as the weights moved
    validation: Losses  # of the test images, one draw of z each, after the epoch
    seconds: float  # of the steps; told, never kept where runs are compared


def write_table(history: list[Epoch], path: Path) -> None:
    """Write the history as CSV; equal runs give equal files."""
    with path.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["epoch", "loss", "xent", "kl", "val_loss", "val_xent", "val_kl"])
        for row in history:
            table.writerow([row.epoch, *(f"{number:.4f}" for number in (*row.train, *row.validation))])
