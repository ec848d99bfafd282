"""What ends a command before its work is done."""

from __future__ import annotations


class CommandError(Exception):
    """The command cannot do what was asked: exit code 1, and this text as the one line on stderr."""


class UsageError(Exception):
    """The command line asks for something that makes no sense: exit code 2, as argparse does it."""
