"""Optional TensorBoard logs of a run's history."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from training.errors import TrainingError
from training.loop.train import Progress


@contextmanager
def logging(folder: Path | None) -> Iterator[Callable[[Progress], None]]:
    """Yield a function that writes a point per epoch and curve, or one that does nothing without a folder.

    Raises:
        TrainingError: the folder cannot be written.
    """
    if folder is None:
        yield lambda progress: None
        return
    import tensorflow as tf

    try:
        folder.mkdir(parents=True, exist_ok=True)
        train, test = (tf.summary.create_file_writer(str(folder / part)) for part in ("train", "test"))
    except (OSError, tf.errors.OpError) as exc:
        raise TrainingError(f"TensorBoard's logs cannot be written to {folder}.") from exc

    def on_progress(progress: Progress) -> None:
        if row := progress.finished:
            for writer, losses in ((train, row.train), (test, row.validation)):
                with writer.as_default(row.epoch):
                    for name, value in losses._asdict().items():
                        tf.summary.scalar(f"nats per image/{name}", value)
                writer.flush()

    yield on_progress
    train.close()
    test.close()
