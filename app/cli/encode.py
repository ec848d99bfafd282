"""`digit-vae encode`: images to a table of latent vectors."""

import argparse
from pathlib import Path

from app.cli import connection, files, tables
from app.cli.command_line import Commands
from app.cli.errors import UsageError
from app.cli.pictures import Preparation, encode_all, encode_readable

EPILOG = """\
FILE is a picture (PNG, JPEG, WebP, BMP), an .npy of images (n, 28, 28), a
folder of pictures, or - for standard input. Of a folder all pictures are
taken, and the sub-folder of each is its label.

examples:
  digit-vae encode seven.png
  digit-vae encode digits/ -o latents.csv         label of digits/7/a.png: 7
  digit-vae encode digits/ -o latents.parquet     needs pyarrow
  digit-vae encode scans/ --skip -o latents.csv   without what is no picture
  digit-vae encode --json photo.jpg --store model_store
  curl -s https://example.org/7.png | digit-vae encode -
  digit-vae encode --npy digits/ | digit-vae generate --z - -o again.png"""


def add(commands: Commands) -> None:
    """Add this command."""
    parser = commands.add_parser(
        "encode",
        help="pictures to latent vectors",
        description="The place of every picture in the latent space: file, label and z_mean, a row per picture.",
        epilog=EPILOG,
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="a picture, an .npy, a folder, or -")
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--csv",
        dest="form",
        action="store_const",
        const="csv",
        help="file, label, z0, z1, ...; by default, if the output's name tells nothing else",
    )
    form.add_argument("--json", dest="form", action="store_const", const="json", help="with z_log_var and the version")
    form.add_argument("--npy", dest="form", action="store_const", const="npy", help="z_mean alone, float32 (n, d)")
    parser.add_argument(
        "-o",
        "--output",
        default=files.STANDARD,
        metavar="FILE",
        help="where to write, by default standard output; its ending chooses the form (.csv, .json, .npy, .parquet) "
        "unless an option does",
    )
    parser.add_argument(
        "--invert",
        choices=("auto", "true", "false"),
        default="auto",
        help="whether dark strokes on light are turned round",
    )
    parser.add_argument(
        "--fit", choices=("auto", "none"), default="auto", help="whether the digit is cut out and centred"
    )
    parser.add_argument(
        "--skip", action="store_true", help="leave out what cannot be read, with a line on stderr, and go on"
    )
    connection.add(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Encode the images and write the table."""
    form = _form(options)
    files.check_output(options.output, form in tables.BINARY)
    tables.check_available(form)
    found = files.inputs(options.files)
    encode = encode_readable if options.skip else encode_all
    how = Preparation(options.invert, options.fit)
    kept, result = connection.use(options, lambda client: encode(client, found, how))
    files.write(options.output, tables.FORMS[form](kept, result))
    return 0


def _form(options: argparse.Namespace) -> str:
    """Return the format of the table, from an option or from the output's suffix."""
    if options.form:
        return str(options.form)
    suffix = Path(options.output).suffix.lower().removeprefix(".")
    if options.output == files.STANDARD or suffix == "":
        return "csv"
    if suffix not in tables.FORMS:
        raise UsageError(f"the form of {options.output} is not known: end it in .{', .'.join(tables.FORMS)}")
    return suffix
