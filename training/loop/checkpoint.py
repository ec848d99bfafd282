"""The state of a run on disk: sufficient to resume the run as if it had never been interrupted."""

import hashlib
import json
import os
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from training.config import Config
from training.data.dataset import DataSet
from training.errors import StateError
from training.loop.history import Epoch
from training.loop.losses import NOTHING, Losses

Arrays = list[npt.NDArray[Any]]


@dataclass(frozen=True)
class Position:
    """A position between two chunks of a run."""

    epoch: int = 0  # from 0
    batch: int = 0  # batches of the epoch that are done
    total: Losses = NOTHING  # their losses' sums
    history: list[Epoch] = field(default_factory=list)


@dataclass(frozen=True)
class StateFile:
    """The file of a run's latest state, which is replaced atomically."""

    path: Path

    @classmethod
    def of(cls, config: Config, data: DataSet, folder: Path) -> Self:
        """Return the file of this run; another configuration or other data has another name."""
        identity = config.model_dump_json(exclude={"data"}) + data.record.sha256
        return cls(folder / f"{config.preset}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.npz")

    def save(self, position: Position, arrays: Arrays) -> None:
        """Save a state in place of the previous one.

        Raises:
            StateError: the state cannot be written, for instance because the disk is full; the previous one remains.
        """
        waiting = self.path.with_suffix(".tmp")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with waiting.open("wb") as file:
                np.savez(file, _to_bytes(position), *arrays)
                file.flush()
                os.fsync(file.fileno())
            os.replace(waiting, self.path)
        except OSError as exc:
            waiting.unlink(missing_ok=True)
            raise StateError(f"The state of the run cannot be saved in {self.path.parent}: {exc.strerror}.") from exc

    def load(self) -> tuple[Position, Arrays] | None:
        """Load the latest state; return None if none was saved.

        Raises:
            StateError: the file cannot be read.
        """
        if not self.path.exists():
            return None
        try:
            with self.path.open("rb") as source, np.load(source, allow_pickle=False) as file:
                position, *arrays = (file[f"arr_{i}"] for i in range(len(file.files)))
                return _from_bytes(position), arrays
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as exc:
            raise StateError(f"{self.path} cannot be read ({exc}). Remove it to begin anew.") from exc

    def remove(self) -> None:
        """Delete the file."""
        self.path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Checkpointing:
    """The file that a run's state is saved in, and how often it is saved."""

    file: StateFile
    every_s: float = 60.0  # seconds between two saves
    resume: bool = False  # go on from the last state, if there is one


def restore(variables: Sequence[Any], arrays: Arrays) -> None:
    """Assign saved arrays to the weights, their running means and the optimizer's variables, in that order.

    Raises:
        StateError: the arrays belong to another network.
    """
    if [array.shape for array in arrays] != [tuple(variable.shape) for variable in variables]:
        raise StateError("The saved state is that of another network. Remove it to begin anew.")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _to_bytes(position: Position) -> npt.NDArray[np.uint8]:
    # JSON writes the shortest text that reads back as the same float.
    return np.frombuffer(json.dumps(asdict(position)).encode(), np.uint8)


def _from_bytes(text: npt.NDArray[np.uint8]) -> Position:
    fields = json.loads(text.tobytes())
    history = [
        Epoch(row["epoch"], Losses(*row["train"]), Losses(*row["validation"]), row["seconds"])
        for row in fields["history"]
    ]
    return Position(fields["epoch"], fields["batch"], Losses(*fields["total"]), history)
