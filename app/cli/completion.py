"""`digit-vae completion`: a completion script for the shell."""

import argparse
from typing import Any

from app.cli.command_line import Commands, Parser
from app.cli.errors import CommandError

SHELLS = ("bash", "zsh", "tcsh")
EPILOG = """\
examples:
  eval "$(digit-vae completion bash)"              for this shell
  digit-vae completion zsh > ~/.zfunc/_digit-vae   if ~/.zfunc is in $fpath
  digit-vae completion bash \\
    > ~/.local/share/bash-completion/completions/digit-vae"""
FILES = frozenset({"append", "files", "output", "z"})
FOLDERS = frozenset({"store", "runs", "tensorboard"})


def add(commands: Commands) -> None:
    """Add this command. The caller must set the parser of the whole command line as its default `root`."""
    parser = commands.add_parser(
        "completion",
        help="a completion script for bash, zsh or tcsh",
        description="Print a completion script. Needs the package shtab.",
        epilog=EPILOG,
    )
    parser.add_argument("shell", choices=SHELLS, help="the shell that the script is for")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the completion script."""
    try:
        import shtab
    except ImportError as exc:
        raise CommandError("Completion needs shtab: pip install shtab, or pip install 'digit-vae[cli]'.") from exc
    print(shtab.complete(with_programs(options.root), options.shell))
    return 0


def with_programs(root: Parser) -> Parser:
    """Add the options of `serve` and `train` to `root`, and mark the arguments that complete to files or folders."""
    from app.cli.serve import parser as serve
    from app.cli.train import parser as train

    commands = _commands(root)
    commands.choices.update({"serve": serve(), "train": train()})
    _mark(root)
    return root


def _commands(parser: argparse.ArgumentParser) -> Any:
    return next(each for each in parser._actions if isinstance(each, argparse._SubParsersAction))


def _mark(parser: argparse.ArgumentParser) -> None:
    import shtab

    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                _mark(below)
        elif action.dest in FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif action.dest in FOLDERS:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
