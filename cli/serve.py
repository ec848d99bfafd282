"""`digit-vae serve`: what scripts/serve does once everything is installed."""

from __future__ import annotations

import argparse

from app.command_line import Parser

PROG = "digit-vae serve"


def add(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add this command's line of help; what follows it is read by app.serve."""
    commands.add_parser("serve", help="serve the newest model over HTTP; takes the options of scripts/serve")


def run(arguments: list[str]) -> int:
    """Serve until told to stop."""
    from app.serve import main

    return main(arguments, PROG)


def parser() -> Parser:
    """The options, for completion."""
    from app.serve import parser

    return parser(PROG)
