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

NUMBERS = {
    **dict.fromkeys(("limit", "epochs", "batch_size", "latent_dim", "seed"), int),
    **dict.fromkeys(("learning_rate", "warp"), float),
}


def main(arguments: list[str] | None = None, prog: str = "python -m training") -> int:
    """Train and publish, or evaluate; 0 if that was done, 1 with one line on stderr if not, 130 if interrupted."""
    given = sys.argv[1:] if arguments is None else arguments
    evaluating = given[:1] == ["evaluate"]
    options = _evaluate_parser(prog).parse_args(given[1:]) if evaluating else parser(prog).parse_args(given)
    signal.signal(signal.SIGTERM, _interrupt)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        _evaluate(options) if evaluating else _train(options)
    except DigitVaeError as exc:
        print(f"error: {exc.detail}", file=sys.stderr)
        return 1
    except ValidationError as exc:
        first = exc.errors()[0]
        print(f"error: --{'-'.join(map(str, first['loc'])).replace('_', '-')}: {first['msg']}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped: nothing was published" + ("" if evaluating else "; --resume goes on"), file=sys.stderr)
        return 130
    return 0


def _train(options: argparse.Namespace) -> None:
    config = _config(options)
    # Heavy imports come after the command line is understood, so that --help and a typing error answer at once.
    from rich.console import Console

    from training.command import Job, train_and_publish

    job = Job(options.store, options.runs, options.resume, options.save_every, options.size, options.tensorboard)
    train_and_publish(config, job, Console(quiet=options.quiet, soft_wrap=True))


def _evaluate(options: argparse.Namespace) -> None:
    from rich.console import Console

    from training.command import Job, measure

    console = Console(stderr=True, soft_wrap=True)
    job = Job(options.store, options.runs, size=options.size)
    measure(options.version, options.data, options.seed, job, console)


def _config(options: argparse.Namespace) -> Config:
    changed: dict[str, Any] = {name: getattr(options, name) for name in NUMBERS if hasattr(options, name)}
    return Config.model_validate({**PRESETS[options.preset].model_dump(), "data": options.data, **changed})


def parser(prog: str) -> argparse.ArgumentParser:
    """The command line, under the name it was called by."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Train a variational autoencoder on digits and publish it to the model store. "
        f"`{prog} evaluate` measures a published version.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--preset", choices=PRESETS, default="notebook", help="where the values below start from")
    _add_places(parser)
    for name, kind in NUMBERS.items():
        described = Config.model_fields[name].description
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, default=argparse.SUPPRESS, help=described)
    parser.add_argument("--resume", action="store_true", help="go on where the same run was interrupted")
    parser.add_argument(
        "--save-every", type=float, default=60.0, metavar="SECONDS", help="how often the run's state is saved"
    )
    parser.add_argument("--tensorboard", type=Path, metavar="DIR", help="write TensorBoard logs there")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    return parser


def _evaluate_parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"{prog} evaluate",
        description="Measure a published version again; the measures are printed as JSON.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--version", type=int, help="the version; the newest by default")
    parser.add_argument("--seed", type=int, help="of the draws; by default the seed it was trained with")
    _add_places(parser)
    return parser


def _add_places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        default="mnist",
        help="mnist, mnist-5k (needs no download), an .npz in Keras' layout, a folder of IDX files, or a folder of "
        "pictures, with one sub-folder per class or with none",
    )
    parser.add_argument("--store", type=Path, default=Path("model_store"), help="the model store")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs"), help="where unfinished runs and prepared pictures are kept"
    )
    parser.add_argument("--size", type=int, default=28, help="pixels of a side that pictures of a folder are made")


def _interrupt(signum: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
