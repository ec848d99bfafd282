"""The model of a command: a running service, or the service in this process without a socket.

Commands reach both through the client, so results and errors are the same.
"""

import argparse
import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from app.cli.command_line import number, whole
from app.cli.errors import CommandError, UsageError
from app.client import AsyncClient, Retries
from app.client.plan import DEFAULT_URL

if TYPE_CHECKING:
    from app.models.engine import Engine
    from app.models.store import StoredVersion
    from app.settings import Settings

OpenEngine = Callable[["StoredVersion", "Settings"], "Engine"]
R = TypeVar("R")

# Who may call the service that an environment describes is no matter of a command that is its own service.
NO_ACCESS: dict[str, Any] = {"api_keys": None, "api_keys_file": None, "rate_limit": None}
FIRST_WAIT_S = 0.05  # somebody watches: that nobody listens at the address is told within a second or two


def add(parser: argparse.ArgumentParser) -> None:
    """Add the options that select a model: a service, or a version of a store."""
    group = parser.add_argument_group("model")
    either = group.add_mutually_exclusive_group()
    either.add_argument("--url", help=f"address of a running service; by default $VAE_URL, or {DEFAULT_URL}")
    either.add_argument("--store", type=Path, metavar="DIR", help="use the model of this store, without a service")
    add_key(group)
    group.add_argument(
        "--version",
        type=whole(1),
        metavar="N",
        help="with --store: this version; by default $VAE_MODEL_VERSION, or what the store pins, or its newest",
    )
    group.add_argument(
        "--timeout", type=number(0.001), default=30.0, metavar="SECONDS", help="longest wait for an answer"
    )


def add_key(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add the option for the service's key."""
    parser.add_argument(
        "--api-key",
        metavar="KEY",
        help="for a service that asks for one; by default $VAE_API_KEY, which other users of the machine do not see",
    )


def use(options: argparse.Namespace, work: Callable[[AsyncClient], Awaitable[R]]) -> R:
    """Call `work` with a client of the selected model, and return its result.

    Raises:
        ClientError, StoreError, EngineError: see the client and app.models.loader.load_version.
        CommandError: with --store, a setting is invalid.
        UsageError: the options contradict each other.
    """
    if options.version is not None and options.store is None:
        raise UsageError("--version goes with --store: a running service has chosen its version")
    opened = _in_process(options) if options.store is not None else _over_the_network(options)

    async def main() -> R:
        async with opened as client:
            return await work(client)

    return asyncio.run(main())


@asynccontextmanager
async def _over_the_network(options: argparse.Namespace) -> AsyncIterator[AsyncClient]:
    url = options.url or os.environ.get("VAE_URL") or DEFAULT_URL
    async with AsyncClient(
        url, timeout_s=options.timeout, api_key=options.api_key, retries=Retries(first_s=FIRST_WAIT_S)
    ) as client:
        yield client


@asynccontextmanager
async def _in_process(options: argparse.Namespace) -> AsyncIterator[AsyncClient]:
    import httpx
    from pydantic import ValidationError

    from app.main import create_app
    from app.settings import Settings

    # Without --version the one that is pinned holds, as it does for a service.
    pinned = {} if options.version is None else {"model_version": options.version}
    try:
        settings = Settings(
            model_store=options.store,
            request_timeout_s=options.timeout,
            metrics_dir=None,
            reload_interval_s=0,  # all that a command asks is answered by one version
            log_level="ERROR",
            **(NO_ACCESS | pinned),
        )
    except ValidationError as exc:
        first = exc.errors()[0]
        raise CommandError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from exc
    app = create_app(settings, options.open_engine)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        AsyncClient("http://store", timeout_s=options.timeout, transport=transport) as client,
    ):
        yield client
