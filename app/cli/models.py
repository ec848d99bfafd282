"""`digit-vae models`: list, show, verify and pin published versions."""

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path

from app.cli import connection, files
from app.cli.command_line import Commands, Parser, whole
from app.cli.errors import CommandError
from app.models.store import PIN, ModelStore, StoredVersion

VARIABLE = "VAE_MODEL_VERSION"
EXAMPLES = {
    "list": ("digit-vae models list", "digit-vae models list --store my_models"),
    "show": ("digit-vae models show 1", "digit-vae models show --url http://127.0.0.1:8000"),
    "verify": ("digit-vae models verify", "digit-vae models verify 1 --store my_models"),
    "pin": (
        "digit-vae models pin 1 --in-store   services change to it within seconds",
        "digit-vae models pin 1 -o .env      docker compose reads it",
        'eval "$(digit-vae models pin 1)"    for a service that this shell starts',
    ),
    "unpin": ("digit-vae models unpin", "digit-vae models unpin --store my_models"),
}


def add(commands: Commands) -> None:
    """Add this command and its actions."""
    parser = commands.add_parser(
        "models",
        help="list, show, verify and pin published versions",
        description="The versions of a model store, and its pin. No version is ever changed.",
        epilog=_examples(*EXAMPLES),
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    _add(actions, "list", show_all, "a line for every version")
    _add_show(_add(actions, "show", show, "the manifest of a version, as JSON"))
    verifying = _add(actions, "verify", verify, "compare the files of versions with their manifests")
    verifying.add_argument("version", nargs="?", type=whole(1), help="by default all of them")
    pinning = _add(actions, "pin", pin, f"pin a version: in the store, or by the setting {VARIABLE}")
    pinning.add_argument("version", type=whole(1), help="the version's number")
    where = pinning.add_mutually_exclusive_group()
    where.add_argument("-o", "--output", metavar="FILE", help="set it in this file of NAME=value lines, like .env")
    where.add_argument("--in-store", action="store_true", help="for all services of this store, also running ones")
    _add(actions, "unpin", unpin, "take the store's pin away: the newest version is served again")


def _add(actions: Commands, name: str, run: Callable[[argparse.Namespace], int], does: str) -> Parser:
    description = f"{does[0].upper()}{does[1:]}."
    parser = actions.add_parser(name, help=does, description=description, epilog=_examples(name))
    parser.set_defaults(run=run)
    if name != "show":
        _add_store(parser)
    return parser


def _examples(*names: str) -> str:
    return "\n".join(("examples:", *(f"  {each}" for name in names for each in EXAMPLES[name])))


def _add_show(parser: Parser) -> None:
    parser.add_argument("version", nargs="?", type=whole(1), help="by default the newest")
    either = parser.add_mutually_exclusive_group()
    _add_store(either)
    either.add_argument("--url", help="ask a running service what it serves")
    connection.add_key(parser)


def _add_store(parser: argparse._ActionsContainer) -> None:
    default = Path(os.environ.get("VAE_MODEL_STORE", "model_store"))
    parser.add_argument("--store", type=Path, default=default, metavar="DIR", help="the model store")


def show_all(options: argparse.Namespace) -> int:
    """Print a line for every version, in ascending order."""
    store = _store(options)
    pinned = store.pinned()
    print("version  published         d  image  data           test loss")
    for stored in map(store.open, store.versions()):
        found = stored.manifest
        loss = found.measures.get("test_loss")
        height, width = found.image_shape
        print(
            f"{found.version:>7}  {found.created:%Y-%m-%d %H:%M}  {found.latent_dim:>1}  {height}x{width}  "
            f"{found.data.name:<13}  {'' if loss is None else f'{loss:.2f}':<9}"
            f"{'  pinned' if found.version == pinned else ''}".rstrip()
        )
    return 0


def show(options: argparse.Namespace) -> int:
    """Print the manifest of a version as JSON."""
    if options.url:
        options.store, wanted, options.version, options.timeout = None, options.version, None, 30.0
        served = connection.use(options, lambda client: client.model())
        if wanted not in (None, served["version"]):
            raise CommandError(f"The service serves version {served['version']}, not {wanted}.")
        print(json.dumps(served, indent=2))
        return 0
    print(_store(options).open(options.version).manifest.model_dump_json(indent=2))
    return 0


def verify(options: argparse.Namespace) -> int:
    """Compare the files of versions with their manifests.

    Raises:
        CorruptVersion: a file differs from its manifest; the first such file is named.
    """
    store = _store(options)
    for version in [options.version] if options.version is not None else store.versions():
        stored = store.open(version)
        stored.verify()
        print(f"version {version}: {len(stored.manifest.files)} files, as published")
    return 0


def pin(options: argparse.Namespace) -> int:
    """Verify a version and pin it: in the store, in a file of settings, or by a setting printed for a shell."""
    stored: StoredVersion = _store(options).open(options.version)
    stored.verify()
    line = f"{VARIABLE}={stored.version}"
    if options.in_store:
        path = stored.root / PIN
        if path.is_symlink():
            path.unlink()  # a link is no pin
        files.write(str(path), b"%d\n" % stored.version)
        print(f"version {stored.version} is pinned in {stored.root}")
    elif options.output is None:
        print(f"export {line}")
    else:
        files.write_lines(options.output, _with(files.lines(options.output), line))
    return 0


def unpin(options: argparse.Namespace) -> int:
    """Remove the store's pin."""
    store = _store(options)
    try:
        (store.root / PIN).unlink(missing_ok=True)
    except OSError as exc:
        raise CommandError(f"{store.root / PIN}: {exc.strerror}.") from exc
    print(f"nothing is pinned in {store.root}; its newest version is {store.versions()[-1]}")
    return 0


def _with(lines: list[str], line: str) -> list[str]:
    """Replace the lines that set the variable by `line`, or append it."""
    places = [i for i, each in enumerate(lines) if each.strip().removeprefix("export ").startswith(f"{VARIABLE}=")]
    kept = [each for i, each in enumerate(lines) if i not in places]
    kept.insert(places[0] if places else len(kept), line)
    return kept


def _store(options: argparse.Namespace) -> ModelStore:
    store = ModelStore(options.store)
    store.open()  # tells, in a sentence, if there is none
    return store
