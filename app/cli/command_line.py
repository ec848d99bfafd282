"""Shared by all command lines: the form of help and errors, `--version`, and numbers within a range."""

import argparse
import shutil
import sys
import textwrap
from collections.abc import Callable
from typing import Any, NoReturn, TypeAlias, TypeVar

from app.settings.release import release

N = TypeVar("N", int, float)

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"

COLUMNS = 80
WRONG = 2  # exit code


class Help(argparse.HelpFormatter):
    """Help of at most 80 columns. Words are not broken, texts with line breaks are kept, defaults are shown."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=min(COLUMNS, shutil.get_terminal_size().columns) - 2)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if "\n" in text:
            return text
        return textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False, break_long_words=False)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        has_none = action.default is None or action.default is False or action.default == argparse.SUPPRESS
        if has_none or action.help is None or "default" in action.help:
            return action.help
        return f"{action.help} (default: %(default)s)"


class Parser(argparse.ArgumentParser):
    """A parser with this help, which prints errors on one line."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **{"formatter_class": Help, **options})

    def error(self, message: str) -> NoReturn:
        """Exit with code 2 and one line on stderr."""
        print(f"error: {message} (usage: {self.prog} --help)", file=sys.stderr)
        sys.exit(WRONG)

    def add_release(self) -> None:
        """Add `--version`."""
        self.add_argument("--version", action="version", version=f"digit-vae {release()}", help="show the version")


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """Return a converter for `type=` that accepts integers of a range, both ends included."""
    return _converter(int, "whole number", least, most)


def number(least: float, most: float | None = None) -> Callable[[str], float]:
    """Return a converter for `type=` that accepts numbers of a range, both ends included."""
    return _converter(float, "number", least, most)


def _converter(convert: Callable[[str], N], kind: str, least: N, most: N | None) -> Callable[[str], N]:
    def read(text: str) -> N:
        try:
            found = convert(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no {kind}") from None
        _check(found, least, most)
        return found

    return read


def _check(found: float, least: float, most: float | None) -> None:
    if not found >= least:  # NaN is not
        raise argparse.ArgumentTypeError(
            f"{found:g} is too small: it must be at least {'one' if least == 1 else least}"
        )
    if most is not None and found > most:
        raise argparse.ArgumentTypeError(f"{found:g} is too large: it must be at most {most}")
