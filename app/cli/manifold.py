"""`digit-vae manifold`: the digits over a square of the latent plane, as one picture."""

import argparse
import re

from app.cli import connection, files
from app.cli.command_line import Commands, number, whole
from app.cli.errors import UsageError
from app.client import AsyncClient, Drawing

EPILOG = """\
examples:
  digit-vae manifold -o manifold.png
  digit-vae manifold --n 30 --scale 2 -o large.png
  digit-vae manifold --store model_store --low 0.01 --high 0.99 > wide.png"""


def add(commands: Commands) -> None:
    """Add this command."""
    parser = commands.add_parser(
        "manifold",
        help="the digits over the latent plane, as one picture",
        description="The digits over a square of the latent plane, at even quantiles of the prior.",
        epilog=EPILOG,
    )
    parser.add_argument(
        "-o", "--output", default=files.STANDARD, metavar="FILE", help="the PNG; by default standard output"
    )
    parser.add_argument("--n", type=whole(1), default=15, help="digits along each side")
    parser.add_argument("--scale", type=whole(1), default=1, metavar="N", help="pixels per pixel")
    parser.add_argument("--low", type=number(0, 1), default=0.05, metavar="P", help="quantile at the left and the top")
    parser.add_argument(
        "--high", type=number(0, 1), default=0.95, metavar="P", help="quantile at the right and the bottom"
    )
    parser.add_argument(
        "--dims", type=_dims, default=(0, 1), metavar="I,J", help="the coordinates across and down (default: 0,1)"
    )
    connection.add(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Draw the manifold and write it."""
    if not 0 < options.low < options.high < 1:
        raise UsageError("--low must be less than --high, both between 0 and 1")
    files.check_output(options.output, binary=True)

    async def ask(client: AsyncClient) -> Drawing:
        return await client.manifold(
            options.n, scale=options.scale, low=options.low, high=options.high, dims=options.dims
        )

    files.write(options.output, connection.use(options, ask).png)
    return 0


def _dims(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+),(\d+)", text)
    if found is None:
        raise argparse.ArgumentTypeError("two coordinates with a comma between, like 0,1")
    return int(found[1]), int(found[2])
