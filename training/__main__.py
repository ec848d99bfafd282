"""The command line of training, `python -m training`. It is short on purpose: the work is in the modules it calls."""

import argparse
import logging
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from pydantic import ValidationError

from app.cli.command_line import Parser, number, whole
from app.errors import DigitVaeError, require_tensorflow
from training.config import PRESETS, Config

NUMBERS = {
    **dict.fromkeys(("limit", "epochs", "batch_size", "latent_dim", "seed"), int),
    **dict.fromkeys(("learning_rate", "warp"), float),
}
EXAMPLES = """\
examples:
  {prog} --data mnist-5k --store my_models   a store of its own
  {prog} --preset best --data mnist          the strongest preset
  {prog} --data pictures/ --size 32          a folder of pictures
  {prog} --preset best --resume              goes on after Ctrl-C
  {prog} evaluate --version 1                measures it again"""
EVALUATE_EXAMPLES = """\
examples:
  {prog}
  {prog} --version 1 --data mnist
  {prog} --data mnist-5k --store my_models"""


def main(arguments: list[str] | None = None, prog: str = "python -m training") -> int:
    """Train and publish, or evaluate; return 0 on success, 1 with one line on stderr on failure, 130 if interrupted.

    Raises:
        SystemExit: with 2 for a wrong command line, with 0 for --help and --version.
    """
    given = sys.argv[1:] if arguments is None else arguments
    evaluating = given[:1] == ["evaluate"]
    understood = _evaluate_parser(prog) if evaluating else parser(prog)
    options = understood.parse_args(given[1:] if evaluating else given)
    config = None if evaluating else _config(options, understood)
    signal.signal(signal.SIGTERM, _interrupt)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if os.environ.get("VAE_LOG_LEVEL") == "DEBUG":  # as the service reads it
        logging.basicConfig(format="%(message)s")
        logging.getLogger("app").setLevel(logging.DEBUG)
    try:
        require_tensorflow()
        _train(options, config) if config else _evaluate(options)
    except DigitVaeError as exc:
        print(f"error: {exc.detail}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped: nothing was published" + ("" if evaluating else "; --resume goes on"), file=sys.stderr)
        return 130
    return 0


def _train(options: argparse.Namespace, config: Config) -> None:
    # Heavy imports come after the command line is understood, so that --help and a typing error answer at once.
    from rich.console import Console

    from training.run import RunOptions, train_and_publish

    run_options = RunOptions(
        options.store, options.runs, options.resume, options.save_every, options.size, options.tensorboard
    )
    train_and_publish(config, run_options, Console(quiet=options.quiet, soft_wrap=True, highlight=False))


def _evaluate(options: argparse.Namespace) -> None:
    from rich.console import Console

    from training.run import RunOptions, measure

    console = Console(stderr=True, soft_wrap=True, highlight=False)
    run_options = RunOptions(options.store, options.runs, size=options.size)
    measure(options.version, options.data, options.seed, run_options, console)


def _config(options: argparse.Namespace, parser: Parser) -> Config:
    """Apply the options to the preset; report a value that is out of range as an error of the command line."""
    changed: dict[str, Any] = {name: getattr(options, name) for name in NUMBERS if hasattr(options, name)}
    try:
        return Config.model_validate({**PRESETS[options.preset].model_dump(), "data": options.data, **changed})
    except ValidationError as exc:
        first = exc.errors()[0]
        name = "-".join(map(str, first["loc"])).replace("_", "-")
        parser.error(f"argument --{name}: {first['msg']}")


def parser(prog: str) -> Parser:
    """Return the parser of the command line, with `prog` as the program's name."""
    parser = Parser(
        prog=prog,
        description="Train a variational autoencoder on digits and publish it to the model store. "
        f"`{prog} evaluate` measures a published version.",
        epilog=EXAMPLES.format(prog=prog),
    )
    parser.add_argument("--preset", choices=PRESETS, default="notebook", help="where the values below start from")
    _add_places(parser)
    for name, kind in NUMBERS.items():
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=kind, default=argparse.SUPPRESS, metavar="N", help=_described(name))
    parser.add_argument("--resume", action="store_true", help="go on where the same run was interrupted")
    parser.add_argument(
        "--save-every", type=number(0), default=60.0, metavar="SECONDS", help="how often the run's state is saved"
    )
    parser.add_argument("--tensorboard", type=Path, metavar="DIR", help="write TensorBoard logs there")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    parser.add_release()
    return parser


def _described(name: str) -> str:
    """Return the help text of a field of the configuration, whose default depends on the preset."""
    text = Config.model_fields[name].description or ""
    usual = getattr(PRESETS["notebook"], name)
    return f"{text[0].lower()}{text[1:].rstrip('.')} (default: the preset's; of notebook {usual})"


def _evaluate_parser(prog: str) -> Parser:
    prog = f"{prog} evaluate"
    parser = Parser(
        prog=prog,
        description="Measure a published version again; the measures are printed as JSON.",
        epilog=EVALUATE_EXAMPLES.format(prog=prog),
    )
    parser.add_argument("--version", type=whole(1), metavar="N", help="the version; by default the newest")
    parser.add_argument(
        "--seed", type=whole(0, 2**31 - 1), metavar="N", help="of the draws; by default the seed it was trained with"
    )
    _add_places(parser)
    return parser


def _add_places(parser: Parser) -> None:
    parser.add_argument(
        "--data",
        default="mnist",
        help="mnist, mnist-5k (needs no download), an .npz in Keras' layout, a folder of IDX files, or a folder of "
        "pictures, with one sub-folder per class or with none",
    )
    parser.add_argument("--store", type=Path, default=Path("model_store"), metavar="DIR", help="the model store")
    parser.add_argument(
        "--runs",
        type=Path,
        default=Path("runs"),
        metavar="DIR",
        help="where unfinished runs and prepared pictures are kept",
    )
    parser.add_argument(
        "--size", type=whole(1), default=28, metavar="N", help="pixels of a side that pictures of a folder are made"
    )


def _interrupt(signum: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
