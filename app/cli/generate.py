"""`digit-vae generate`: latent vectors, or samples from the prior, to digits."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from app.cli import connection, files
from app.cli.command_line import Commands, whole
from app.cli.errors import CommandError, UsageError
from app.client import AsyncClient, Generated
from app.imaging.png import encode_png
from app.imaging.sheets import contact_sheet, enlarge

MAX_PIXELS = 100_000_000
EPILOG = """\
examples:
  digit-vae generate --z 0,0 -o digit.png
  digit-vae generate --z 0,0 --z -1,0.5 --scale 4 -o two.png
  digit-vae generate --sample 48 --seed 1 --columns 16 -o samples.png
  digit-vae generate --sample 1000 -o digits.npy   uint8 (1000, 28, 28)
  digit-vae encode --npy digits/ | digit-vae generate --z - -o again.png"""


def add(commands: Commands) -> None:
    """Add this command."""
    parser = commands.add_parser(
        "generate",
        help="latent vectors, or draws, to digits",
        description="The digits at points of the latent space, or at draws from the prior, on one sheet.",
        epilog=EPILOG,
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--z", action="append", metavar="X,Y", help="a point; may be repeated; an .npy file (n, d); - for one on stdin"
    )
    source.add_argument("--sample", type=whole(1), metavar="N", help="draw N points from the prior N(0, I)")
    parser.add_argument("--seed", type=whole(0, 2**64 - 1), help="with --sample: makes the draws repeatable")
    parser.add_argument(
        "-o",
        "--output",
        default=files.STANDARD,
        metavar="FILE",
        help="a .png, or an .npy of the pixels; by default a PNG to standard output",
    )
    parser.add_argument("--columns", type=whole(1), metavar="N", help="digits in a row; by default about square")
    parser.add_argument("--scale", type=whole(1), default=1, metavar="N", help="pixels per pixel")
    connection.add(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Generate digits and write them."""
    if options.seed is not None and options.sample is None:
        raise UsageError("--seed goes with --sample")
    form = _form(options.output)
    files.check_output(options.output, binary=True)
    z = None if options.z is None else points(options.z)

    async def ask(client: AsyncClient) -> Generated:
        return await client.generate(z, sample=options.sample, seed=options.seed, progress=True)

    digits = connection.use(options, ask)
    files.write(options.output, files.npy(digits.pixels) if form == ".npy" else _sheet(digits, options))
    return 0


def points(given: list[str]) -> npt.NDArray[Any]:
    """Read the values of --z as an array (n, d).

    Raises:
        UsageError: a value is neither comma-separated numbers nor an npy file, or their lengths differ.
        CommandError: a file cannot be read, or is not an array of numbers (n, d) or (d,).
    """
    found = [_points(text) for text in given]
    if len({each.shape[1] for each in found}) != 1:
        raise UsageError("each --z must have the same length")
    return np.concatenate(found)


def _points(text: str) -> npt.NDArray[Any]:
    if text == files.STANDARD or text.endswith(".npy"):
        array = files.loads(text, files.read(text))
        if array.ndim == 1:
            array = array[np.newaxis]
        if array.ndim != 2 or array.dtype.kind not in "fiu":
            raise CommandError(f"{text}: latent vectors have the shape (n, d); got {array.dtype} {array.shape}.")
        return array
    try:
        return np.asarray([[float(part) for part in text.split(",")]])
    except ValueError as exc:
        raise UsageError(f"--z is numbers with commas between, like 0,-1.5; got {text!r}") from exc


def _form(output: str) -> str:
    suffix = ".png" if output == files.STANDARD else Path(output).suffix.lower()
    if suffix not in (".png", ".npy"):
        raise UsageError(f"{output}: digits are written as .png or .npy")
    return suffix


def _sheet(digits: Generated, options: argparse.Namespace) -> bytes:
    columns = None if options.columns is None else min(options.columns, len(digits))
    return encode_png(enlarge(contact_sheet(digits.pixels, columns), options.scale, MAX_PIXELS))
