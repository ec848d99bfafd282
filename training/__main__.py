"""The command line of training: `python -m training`. Short on purpose; the work is in the modules it calls."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from pydantic import ValidationError

from app.errors import DigitVaeError
from training.config import PRESETS, Config

OVERRIDES = ("limit", "epochs", "batch_size", "latent_dim", "learning_rate", "seed")


def main(arguments: list[str] | None = None) -> int:
    """Train and publish; 0 if a version was published, 1 with one line on stderr if not, 130 if interrupted."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        _train(_config(options), options.store, quiet=options.quiet)
    except DigitVaeError as exc:
        print(f"error: {exc.detail}", file=sys.stderr)
        return 1
    except ValidationError as exc:
        first = exc.errors()[0]
        print(f"error: --{'-'.join(map(str, first['loc'])).replace('_', '-')}: {first['msg']}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped: nothing was published", file=sys.stderr)
        return 130
    return 0


def _train(config: Config, store: Path, quiet: bool) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Heavy imports come after the command line is understood, so that --help and a typing error answer at once.
    from rich.console import Console

    from training.data import load
    from training.export import export
    from training.progress import shown
    from training.publish import check_writable
    from training.train import train

    console = Console(quiet=quiet, soft_wrap=True)
    check_writable(store)
    data = load(config.data)
    console.print(
        f"{data.name}: {len(data.x_train[: config.limit]):,} of {len(data.x_train):,} training images, "
        f"{len(data.x_test):,} test images of {data.image_shape[0]}x{data.image_shape[1]}",
        highlight=False,
    )
    with shown(console, config.epochs) as tell:
        trained = train(config, data, tell)
    for model in (trained.model.encoder, trained.model.generator):
        model.summary(print_fn=lambda text: console.print(text, highlight=False, markup=False))
    console.print("measuring, exporting, comparing the export with the trained model ...")
    manifest = export(trained, data, store)
    measures = manifest.measures
    console.print(
        f"published version {manifest.version} in {store}: test loss {measures['test_loss']:.2f} nats per image "
        f"(cross-entropy {measures['test_xent']:.2f} + KL {measures['test_kl']:.2f}), "
        f"10-NN accuracy {measures['knn_accuracy']:.3f}",
        highlight=False,
    )


def _config(options: argparse.Namespace) -> Config:
    changed: dict[str, Any] = {name: getattr(options, name) for name in OVERRIDES if hasattr(options, name)}
    return Config.model_validate({**PRESETS[options.preset].model_dump(), "data": options.data, **changed})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training",
        description="Train a variational autoencoder on digits and publish it to the model store.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--preset", choices=PRESETS, default="notebook", help="where the values below start from")
    parser.add_argument(
        "--data",
        default="mnist",
        help="mnist, mnist-5k (needs no download), an .npz in Keras' layout, a folder of IDX files, or a folder "
        "with one sub-folder of pictures per class",
    )
    parser.add_argument("--store", type=Path, default=Path("model_store"), help="the model store to publish to")
    for name, kind in (
        ("limit", int),
        ("epochs", int),
        ("batch_size", int),
        ("latent_dim", int),
        ("seed", int),
    ):
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=kind, default=argparse.SUPPRESS, help=Config.model_fields[name].description)
    parser.add_argument("--learning-rate", type=float, default=argparse.SUPPRESS)
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    return parser


def _interrupt(signum: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
