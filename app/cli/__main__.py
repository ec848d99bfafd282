"""`digit-vae`, or `python -m app.cli`: parses the command line, runs one command, and returns its exit code."""

import os
import sys

from app.cli import completion, encode, generate, key, manifold, models, serve, train
from app.cli.command_line import Parser
from app.cli.connection import OpenEngine
from app.cli.errors import CommandError, UsageError
from app.client import ClientError
from app.errors import DigitVaeError

DESCRIPTION = "A variational autoencoder of handwritten digits: train it, serve it, and use it."
EPILOG = """\
encode, generate and manifold ask a running service (--url, or VAE_URL, or
http://127.0.0.1:8000), or load the newest model themselves with --store.
A service that asks for a key gets that of VAE_API_KEY, or --api-key.

exit codes: 0 done; 1 failed, 2 the command line is wrong, both with one line
on stderr; 130 interrupted (Ctrl-C)

examples:
  digit-vae serve                           serve at http://127.0.0.1:8000
  digit-vae encode seven.png                its place in the latent space
  digit-vae encode digits/ -o latents.csv   a folder, sub-folders as labels
  digit-vae generate --z 0,0 -o digit.png   the digit at a point
  digit-vae manifold -o manifold.png        the notebook's figure
  digit-vae train --store my_models         train, and publish a version
  digit-vae models list                     what is published
  digit-vae key ci                          a key that a service asks for"""
COMMANDS = (serve, train, encode, generate, manifold, models, key, completion)


def main(arguments: list[str] | None = None, open_engine: OpenEngine | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: by default those of the process.
        open_engine: opens a stored version for --store; by default with TensorFlow.

    Raises:
        SystemExit: with 2 for a wrong command line, with 0 for --help.
    """
    given = sys.argv[1:] if arguments is None else arguments
    if given and given[0] in PASSED_ON:
        return PASSED_ON[given[0]](given[1:])
    root = parser()
    options = root.parse_args(join_points(given))
    options.open_engine = open_engine
    try:
        code: int = options.run(options)
        sys.stdout.flush()  # a reader that has left is to be noticed here
        return code
    except UsageError as exc:
        root.error(str(exc))
    except (CommandError, ClientError, DigitVaeError) as exc:
        print(f"error: {' '.join(str(exc).split())}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader has had enough (| head). Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


# These have command lines of their own, shared with `python -m app.serve` and `python -m training`.
PASSED_ON = {"serve": serve.run, "train": train.run}


def parser() -> Parser:
    """Return the parser of the whole command line."""
    root = Parser(prog="digit-vae", description=DESCRIPTION, epilog=EPILOG)
    root.add_release()
    commands = root.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(commands)
    commands.choices["completion"].set_defaults(root=root)
    return root


def join_points(arguments: list[str]) -> list[str]:
    """Join `--z -1,0` to `--z=-1,0`: argparse would take the value, which is not a number, for an option."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] == "--z" and argument[:1] == "-" and argument[1:2] in tuple("0123456789."):
            joined[-1] = f"--z={argument}"
        else:
            joined.append(argument)
    return joined


if __name__ == "__main__":
    sys.exit(main())
