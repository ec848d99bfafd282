"""`digit-vae train`: the same as `python -m training`."""

import sys
from importlib.util import find_spec

from app.cli.command_line import Commands, Parser

PROG = "digit-vae train"
NEEDED = ("matplotlib", "mlxtend", "rich", "sklearn", "tensorflow")
ASKING = frozenset({"-h", "--help", "--version"})


def add(commands: Commands) -> None:
    """Add this command to the list of commands; training parses its options."""
    commands.add_parser("train", help="train and publish; takes the options of python -m training")


def run(arguments: list[str]) -> int:
    """Run training with these arguments. Return 1, with one line on stderr, if a package that it needs is missing."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing and not ASKING & set(arguments):
        print(
            f"error: training needs packages that are not installed ({', '.join(missing)}): "
            "pip install 'digit-vae[train]', or use scripts/train, which installs them",
            file=sys.stderr,
        )
        return 1
    from training.__main__ import main

    return main(arguments, PROG)


def parser() -> Parser:
    """Return the parser of training's options, for completion."""
    from training.__main__ import parser

    return parser(PROG)
