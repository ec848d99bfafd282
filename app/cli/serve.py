"""`digit-vae serve`, `scripts/serve` and `python -m app.serve`."""

import os
import sys

from pydantic import ValidationError

from app.cli.command_line import Commands, Parser, whole
from app.errors import DigitVaeError, require_tensorflow
from app.models.store import ModelStore
from app.server.machine import MAX_WORKERS
from app.settings import Settings

PROG = "digit-vae serve"
EXAMPLES = """\
examples:
  {prog}
  {prog} --host 0.0.0.0 --port 80 --workers 4
  VAE_MODEL_STORE=my_models {prog}
  VAE_MODEL_VERSION=1 VAE_LOG_FORMAT=json {prog}"""


def add(commands: Commands) -> None:
    """Add this command to the list of commands; `main` parses its options."""
    commands.add_parser("serve", help="serve the newest model over HTTP; takes the options of scripts/serve")


def run(arguments: list[str]) -> int:
    """Run the service until it is told to stop, as a command of digit-vae."""
    return main(arguments, PROG)


def main(arguments: list[str] | None = None, prog: str = "scripts/serve") -> int:
    """Run the service until it is told to stop, then end the process.

    Return 1, with one line on stderr, if a setting is invalid, TensorFlow is missing, or no intact version is stored.
    """
    options = parser(prog).parse_args(arguments)
    if options.access_log:
        os.environ["VAE_ACCESS_LOG"] = "true"
    try:
        settings = Settings()
        store = ModelStore(settings.model_store)
        store.open(store.chosen(settings.model_version)).verify()
        require_tensorflow()
    except ValidationError as exc:
        first = exc.errors()[0]
        print(f"error: VAE_{'_'.join(map(str, first['loc'])).upper()}: {first['msg']}", file=sys.stderr)
        return 1
    except DigitVaeError as exc:
        print(f"error: {exc.detail}", file=sys.stderr)
        return 1
    from app.server.run import serve

    return serve(settings, options.host, options.port, options.workers)


def parser(prog: str = PROG) -> Parser:
    """Return the parser of the command line, with `prog` as its name."""
    parser = Parser(
        prog=prog,
        description="Serve the newest version of the model store over HTTP. Settings are environment variables "
        "(VAE_MODEL_STORE, VAE_MODEL_VERSION, ...): see docs/settings.md.",
        epilog=EXAMPLES.format(prog=prog),
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at; 0.0.0.0 for all")
    parser.add_argument("--port", type=whole(0, 65535), default=8000, help="port to listen at; 0 for any free one")
    parser.add_argument(
        "--workers",
        type=whole(1),
        metavar="N",
        help=f"processes, each with its own copy of the model; by default one per core, at most {MAX_WORKERS}, as "
        "memory allows, and one where there is a GPU",
    )
    parser.add_argument("--access-log", action="store_true", help="log a line for every request")
    parser.add_release()
    return parser
