"""What `python -m training` does: train and publish, or measure a published version."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from app.store import ModelStore
from training import devices, progress, tensorboard
from training.config import Config
from training.data import DataSet, Preparing, load
from training.errors import TrainingError
from training.evaluate import evaluate
from training.export import export
from training.publish import check_writable
from training.savedmodels import read_version
from training.state import StateFile
from training.train import Keeping, train


@dataclass(frozen=True)
class Job:
    """One call of the command, besides what is trained."""

    store: Path
    runs: Path  # states of unfinished runs, prepared pictures
    resume: bool = False
    save_every_s: float = 60.0
    size: int = 28
    tensorboard: Path | None = None


def train_and_publish(config: Config, job: Job, console: Console) -> None:
    """Train as `config` says and publish the result; one of several hosts does so unless it is not their chief.

    Raises:
        TrainingError: anything that keeps it from being published, in one sentence.
    """
    if not devices.is_chief():
        _take_part(config, job)
        return
    check_writable(job.store)
    data = _load(config.data, job, console)
    if devices.hosts() > 1:
        console.print(f"waiting until all {devices.hosts()} hosts are there", highlight=False)
    where = devices.choose()
    if where.count > 1:
        console.print(f"{where.count} devices on {where.hosts} hosts", highlight=False)
    state = StateFile.of(config, data, job.runs)
    if job.resume and not state.path.exists():
        console.print("no state of this run was saved: it begins anew", highlight=False)
    with progress.training(console, config.epochs) as tell, tensorboard.logging(job.tensorboard) as log:
        keeping = Keeping(state, job.save_every_s, job.resume)
        trained = train(config, data, lambda stand: (tell(stand), log(stand))[0], keeping, where)
    for model in (trained.model.encoder, trained.model.generator):
        model.summary(print_fn=lambda text: console.print(text, highlight=False, markup=False))
    console.print("measuring on the test images, exporting, comparing the export with the trained model ...")
    with progress.counting(console, "measuring", "%") as count:
        manifest = export(trained, data, job.store, lambda share: count(round(100 * share), 100))
    state.remove()
    console.print(f"published version {manifest.version} in {job.store}: {told(manifest.measures)}", highlight=False)
    console.print(f"report: {job.store / 'reports' / str(manifest.version) / 'report.html'}", highlight=False)


def _take_part(config: Config, job: Job) -> None:
    """Compute what the chief does, and leave it to the chief to tell, save and publish."""
    data = _load(config.data, job, Console(quiet=True))
    where = devices.choose()
    train(config, data, keeping=Keeping(StateFile.of(config, data, job.runs), resume=job.resume), devices=where)


def measure(version: int | None, name: str, seed: int | None, job: Job, console: Console) -> dict[str, float]:
    """Measure a published version again, on its own data or on other; print the measures as JSON.

    Raises:
        StoreError: the version is not there or damaged.
        TrainingError: the data cannot be had, or has images of another size.
    """
    stored = ModelStore(job.store).open(version)
    stored.verify()
    manifest = stored.manifest
    data = _load(name, job, console)
    if data.image_shape != manifest.image_shape:
        raise TrainingError(f"Version {stored.version} has images of {manifest.image_shape}, not {data.image_shape}.")
    limit = manifest.training.get("limit")
    with progress.counting(console, "measuring", "%") as count:
        measures = evaluate(
            read_version(stored),
            data,
            manifest.seed if seed is None else seed,
            limit,
            lambda share: count(round(100 * share), 100),
        )
    print(json.dumps({"version": stored.version, "data": data.record.model_dump(), "measures": measures}, indent=2))
    return measures


def _load(name: str, job: Job, console: Console) -> DataSet:
    with progress.counting(console, "preparing pictures", "pictures") as count:
        data = load(name, Preparing(job.size, job.runs, count))
    height, width = data.image_shape
    text = f"{data.name}: {len(data.x_train):,} training and {len(data.x_test):,} test images of {height}x{width}"
    console.print(text, highlight=False)
    return data


def told(measures: dict[str, float]) -> str:
    """The measures in a sentence."""
    text = (
        f"test loss {measures['test_loss']:.2f} nats per image (cross-entropy {measures['test_xent']:.2f} "
        f"+ KL {measures['test_kl']:.2f}), NLL at most {measures['nll']:.2f}"
    )
    return text + (f", 10-NN accuracy {measures['knn_accuracy']:.3f}" if "knn_accuracy" in measures else "")
