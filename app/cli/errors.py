"""Errors that end a command before its work is done."""


class CommandError(Exception):
    """The command cannot be carried out: exit code 1, with this text as the one line on stderr."""


class UsageError(Exception):
    """The options or their values are not valid: exit code 2, as for argparse's own errors."""
