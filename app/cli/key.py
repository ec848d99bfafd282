"""`digit-vae key`: a new API key, and the setting that makes the service accept it."""

import argparse

from app.cli import files
from app.cli.command_line import Commands
from app.cli.errors import UsageError

EPILOG = """\
examples:
  digit-vae key ci                     the key and its hash, as lines of .env
  digit-vae key ci --append keys.txt   adds the hash to VAE_API_KEYS_FILE

The key is shown this once. The service never sees it before a call brings it:
it keeps the SHA-256."""


def add(commands: Commands) -> None:
    """Add this command."""
    parser = commands.add_parser(
        "key",
        help="a new key for a service that asks for one",
        description="Make a random key of 256 bits. Nothing is sent anywhere.",
        epilog=EPILOG,
    )
    parser.add_argument("name", help="whose it is: letters, digits, '.', '_' or '-'; shown in the service's log")
    parser.add_argument("--append", metavar="FILE", help="add the hash to this file instead of printing it")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print a new key; print its hash or append it to a file."""
    from app.settings.api_keys import new_key

    try:
        secret, key = new_key(options.name)
    except ValueError as exc:
        raise UsageError(str(exc)) from exc
    if options.append:
        files.write_lines(options.append, [*files.lines(options.append), str(key)])
    print(f"VAE_API_KEY={secret}")
    if not options.append:
        print(f"VAE_API_KEYS={key}")
    return 0
