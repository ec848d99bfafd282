"""`digit-vae models`: what is published, whether it is whole, and which version services take."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from app.store import PIN, ModelStore, StoredVersion
from cli import connection, files
from cli.errors import CommandError

VARIABLE = "VAE_MODEL_VERSION"
EPILOG = """\
examples:
  digit-vae models list
  digit-vae models show 1                   the manifest, as JSON
  digit-vae models show --url http://127.0.0.1:8000
  digit-vae models verify                   every file of every version against its digest
  digit-vae models pin 1 --in-store         running services change to it within seconds
  digit-vae models unpin                    ... and back to the newest
  digit-vae models pin 1 -o .env            docker compose reads it
  eval "$(digit-vae models pin 1)"          for a service that this shell starts"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command and those below it."""
    parser = commands.add_parser(
        "models",
        help="list, show, verify and pin published versions",
        description="The versions of a model store, and its pin. No version is ever changed.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="a line for every version")
    showing = actions.add_parser("show", help="the manifest of a version, as JSON")
    verifying = actions.add_parser("verify", help="compare the files with their manifest")
    pinning = actions.add_parser("pin", help=f"pin a version: in the store, or by the setting {VARIABLE}")
    unpinning = actions.add_parser("unpin", help="take the store's pin away: the newest version is served again")
    default = Path(os.environ.get("VAE_MODEL_STORE", "model_store"))
    for each in (listing, verifying, pinning, unpinning):
        each.add_argument("--store", type=Path, default=default, metavar="DIR", help=f"by default {default}")
    showing.add_argument("version", nargs="?", type=int, help="the newest by default")
    either = showing.add_mutually_exclusive_group()
    either.add_argument("--store", type=Path, default=default, metavar="DIR", help=f"by default {default}")
    either.add_argument("--url", help="ask a running service what it serves")
    connection.add_key(showing)
    verifying.add_argument("version", nargs="?", type=int, help="all of them by default")
    pinning.add_argument("version", type=int)
    where = pinning.add_mutually_exclusive_group()
    where.add_argument("-o", "--output", metavar="FILE", help="set it in this file of NAME=value lines, like .env")
    where.add_argument("--in-store", action="store_true", help="for all services of this store, also running ones")
    actions_of = {listing: show_all, showing: show, verifying: verify, pinning: pin, unpinning: unpin}
    for each, run in actions_of.items():
        each.set_defaults(run=run)


def show_all(options: argparse.Namespace) -> int:
    """A line for every version, the newest last."""
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
    """The manifest, as JSON."""
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
    """Compare files with manifests; the first that differs is told."""
    store = _store(options)
    for version in [options.version] if options.version is not None else store.versions():
        stored = store.open(version)
        stored.verify()
        print(f"version {version}: {len(stored.manifest.files)} files, as published")
    return 0


def pin(options: argparse.Namespace) -> int:
    """Pin in the store, or print the setting for a shell, or set it in a file; only a version that is whole."""
    stored: StoredVersion = _store(options).open(options.version)
    stored.verify()
    line = f"{VARIABLE}={stored.version}"
    if options.in_store:
        _put(stored.root / PIN, f"{stored.version}\n")
        print(f"version {stored.version} is pinned in {stored.root}")
    elif options.output is None:
        print(f"export {line}")
    else:
        files.write(options.output, _with(_lines(options.output), line).encode())
    return 0


def unpin(options: argparse.Namespace) -> int:
    """Take the store's pin away."""
    store = _store(options)
    try:
        (store.root / PIN).unlink(missing_ok=True)
    except OSError as exc:
        raise _unwritable(store.root, exc) from exc
    print(f"nothing is pinned in {store.root}; its newest version is {store.versions()[-1]}")
    return 0


def _put(path: Path, text: str) -> None:
    """The whole file or the one before: services read it at any moment."""
    part = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        with part.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as exc:
        part.unlink(missing_ok=True)
        raise _unwritable(path.parent, exc) from exc


def _unwritable(store: Path, exc: OSError) -> CommandError:
    return CommandError(f"Nothing was pinned or unpinned: {store} cannot be written: {exc.strerror or exc}.")


def _lines(name: str) -> list[str]:
    if name == files.STANDARD or not Path(name).exists():
        return []
    return files.read(name).decode(errors="surrogateescape").splitlines()


def _with(lines: list[str], line: str) -> str:
    """The lines with the variable set: in its place if it is set already, at the end if not."""
    places = [i for i, each in enumerate(lines) if each.strip().removeprefix("export ").startswith(f"{VARIABLE}=")]
    kept = [each for i, each in enumerate(lines) if i not in places]
    kept.insert(places[0] if places else len(kept), line)
    return "\n".join(kept) + "\n"


def _store(options: argparse.Namespace) -> ModelStore:
    store = ModelStore(options.store)
    store.open()  # tells, in a sentence, if there is none
    return store
