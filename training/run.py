"""The two commands of `python -m training`: train and publish, or measure a published version."""

import functools
import json
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from app.models.manifest import Manifest
from app.models.store import ModelStore
from training import devices
from training.config import Config
from training.data.dataset import DataSet
from training.data.datasets import load
from training.data.image_folder import Preparing
from training.devices import Devices
from training.errors import TrainingError
from training.evaluation.metrics import SAMPLES, evaluate
from training.export.export import PARTS, export
from training.export.publish import check_writable, next_version
from training.export.savedmodel import read_version
from training.export.succession import Succession
from training.loop import progress, tensorboard
from training.loop.checkpoint import Checkpointing, StateFile
from training.loop.progress import say
from training.loop.train import Progress, TrainingResult, train
from training.model.autoencoder import summary


@dataclass(frozen=True)
class RunOptions:
    """The options of the command, besides the configuration of the training."""

    store: Path
    runs: Path  # states of unfinished runs, prepared pictures
    resume: bool = False
    save_every_s: float = 60.0
    size: int = 28
    tensorboard: Path | None = None


def train_and_publish(config: Config, options: RunOptions, console: Console) -> None:
    """Train as `config` says and publish the result; on a host that is not the chief, only take part in training.

    Raises:
        TrainingError: the result could not be trained or published; the message is one sentence.
    """
    if not devices.is_chief():
        _take_part(config, options)
        return
    check_writable(options.store)
    data = _load(config.data, options, console)
    for text in Succession.of(options.store).preview(next_version(options.store)):
        say(console, text)
    state = StateFile.of(config, data, options.runs)
    if options.resume and not state.path.exists():
        say(console, "no state of this run was saved: it begins anew")
    trained = _train(config, data, options, state, console)
    say(console, f"measuring with {SAMPLES} draws of z for each test image, exporting, reporting ...")
    before = Succession.of(options.store)
    with progress.estimating(console, *PARTS) as on_progress:
        manifest = export(trained, data, options.store, on_progress)
    state.remove()
    for text in (*summarize(manifest, options.store), *before.summary(manifest)):
        say(console, text)


def _train(config: Config, data: DataSet, options: RunOptions, state: StateFile, console: Console) -> TrainingResult:
    """Train and report the progress."""
    where = _devices(console)
    keeping = Checkpointing(state, options.save_every_s, options.resume)
    with progress.training(console, config.epochs) as on_progress, tensorboard.logging(options.tensorboard) as log:

        def tell_all(stand: Progress) -> None:
            if stand.model:
                for text in summary(stand.model, config, data.image_shape):
                    say(console, text)
            on_progress(stand)
            log(stand)

        return train(config, data, tell_all, keeping, where)


def _devices(console: Console) -> Devices:
    devices.import_tensorflow()
    if devices.hosts() > 1:
        say(console, f"waiting until all {devices.hosts()} hosts are there")
    where = devices.choose()
    if where.count > 1:
        say(console, f"{where.count} devices on {where.hosts} hosts")
    return where


def _take_part(config: Config, options: RunOptions) -> None:
    """Take part in the chief's training; only the chief prints, saves and publishes."""
    data = _load(config.data, options, Console(quiet=True))
    devices.import_tensorflow()
    where = devices.choose()
    train(
        config,
        data,
        keeping=Checkpointing(StateFile.of(config, data, options.runs), resume=options.resume),
        devices=where,
    )


def measure(
    version: int | None, name: str, seed: int | None, options: RunOptions, console: Console
) -> dict[str, float]:
    """Measure a published version again, on its own data or on other; print the metrics as JSON.

    Raises:
        StoreError: the version is missing or damaged.
        TrainingError: the data cannot be loaded, or has images of another size.
    """
    stored = ModelStore(options.store).open(version)
    stored.verify()
    manifest = stored.manifest
    data = _load(name, options, console)
    if data.image_shape != manifest.image_shape:
        raise TrainingError(f"Version {stored.version} has images of {manifest.image_shape}, not {data.image_shape}.")
    devices.import_tensorflow()
    with progress.estimating(console, PARTS[0]) as on_progress:
        measures = evaluate(
            read_version(stored),
            data,
            manifest.seed if seed is None else seed,
            manifest.training.get("limit"),
            functools.partial(on_progress, PARTS[0]),
        )
    print(json.dumps({"version": stored.version, "data": data.record.model_dump(), "measures": measures}, indent=2))
    return measures


def _load(name: str, options: RunOptions, console: Console) -> DataSet:
    with progress.counting(console, "preparing pictures", "pictures") as count:
        data = load(name, Preparing(options.size, options.runs, count))
    height, width = data.image_shape
    images = f"{len(data.x_train):,} training and {len(data.x_test):,} test images of {height}x{width}"
    say(console, f"{data.name}: {images}")
    return data


def summarize(manifest: Manifest, store: Path) -> list[str]:
    """Describe the published version and its metrics."""
    measures = manifest.measures
    accuracy = f", 10-NN accuracy {measures['knn_accuracy']:.3f}" if "knn_accuracy" in measures else ""
    return [
        f"published version {manifest.version} in {store}",
        f"test loss {measures['test_loss']:.2f} nats per image = cross-entropy {measures['test_xent']:.2f} "
        f"+ KL {measures['test_kl']:.2f}",
        f"NLL at most {measures['nll']:.2f}{accuracy}",
        f"report: {store / 'reports' / str(manifest.version) / 'report.html'}",
    ]
