"""Follow the store: load the version to serve while the present one serves, then replace it.

store --poll, every few seconds, in a thread--> a version that is not served --load, in that thread--> LoadedModel
--swap, on the event loop--> new requests use it; the previous one is freed after the last request that began on it

A version that cannot be served is reported once, and not tried again until its files change. Each worker does this by
itself: all workers read the same store, so they arrive at the same version.
"""

import asyncio
import logging
import random
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Protocol

from app.errors import DigitVaeError, StoreError
from app.models.loaded_model import LoadedModel
from app.models.loader import release_memory
from app.models.store import Fingerprint, ModelStore, StoredVersion

# While a version is loaded, its thread and the event loop take turns with the interpreter. By default a turn may last
# 5 ms, and a request needs several: with this the loop waits less, and loading takes no longer.
TURN_S = 0.0005
EARLY = 0.8  # of the interval, at random up to all of it: workers that started together do not all load at once

log = logging.getLogger(__name__)


class ReloadObserver(Protocol):
    """The events that a reloader reports, for metrics."""

    def serves(self, version: int) -> None:
        """Record the version that is served from now on."""

    def reloaded(self) -> None:
        """Count a change of version."""

    def reload_failed(self) -> None:
        """Count a version that cannot be served."""


class Target(Protocol):
    """The service whose model a reloader replaces."""

    model: LoadedModel
    draining: bool

    def swap_model(self, model: LoadedModel) -> LoadedModel:
        """Use this version for new requests from now on; return the previous one."""

    async def wait_idle(self) -> None:
        """Wait until the running model call has ended."""


class Reloader:
    """Keeps a service on the version that the store chooses.

    Args:
        store: the store to follow.
        setting: the version that the operator has set; it overrides the pin and newer versions.
        load: verifies, loads and warms up a version; called in a thread.
        service: the service; its present model came from `store`.
        observer: is notified of reloads.
    """

    def __init__(
        self,
        store: ModelStore,
        setting: int | None,
        load: Callable[[StoredVersion], LoadedModel],
        service: Target,
        observer: ReloadObserver,
    ) -> None:
        self._store = store
        self._setting = setting
        self._load = load
        self._service = service
        self._observer = observer
        self._served: Fingerprint = ()
        self._refused: dict[int, Fingerprint] = {}
        self._trouble = ""  # with the store as a whole
        self._retired: set[LoadedModel] = set()
        self._freeing: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reloading")

    @asynccontextmanager
    async def every(self, interval_s: float) -> AsyncIterator[None]:
        """Check the store about every `interval_s` seconds during the block; 0 never checks.

        At the end, wait for a version that is being loaded, and free all retired versions, in use or not.
        """
        watching = asyncio.create_task(self._watch(interval_s)) if interval_s else None
        try:
            yield
        finally:
            self._stopping.set()
            if watching is not None:
                await watching
            for model in [*self._retired]:
                self._begin_to_free(model)
            await asyncio.gather(*self._freeing)
            self._thread.shutdown()

    async def _watch(self, interval_s: float) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), interval_s * random.uniform(EARLY, 1))
                return
            try:
                await self.look()
            except Exception:
                log.exception("looking at the store failed; version %d serves on", self._service.model.version)

    async def look(self) -> None:
        """Check the store once; swap in the version to serve if it is not the served one and can be loaded."""
        if self._service.draining:
            return
        model = await asyncio.get_running_loop().run_in_executor(self._thread, self._found)
        if model is not None:
            self._swap(model)

    def _found(self) -> LoadedModel | None:
        """Load and return the version to swap in; return None if there is none, or if it cannot be loaded."""
        try:
            version = self._store.chosen(self._setting)
            seen = self._store.fingerprint(version)
        except (StoreError, OSError) as exc:
            self._cannot_tell(exc)
            return None
        self._trouble = ""
        if seen in (self._served, self._refused.get(version)):
            return None
        try:
            model = self._loaded(version)
        except Exception as exc:  # a bad version may fail in any way; none of them is to harm the one that serves
            with suppress(OSError):
                if self._store.fingerprint(version) == seen:  # if not, it is being written, and looked at again
                    self._refuse(version, seen, exc)
            return None
        self._served = seen
        return model

    def _loaded(self, version: int) -> LoadedModel | None:
        stored = self._store.open(version)
        if stored.manifest == self._service.model.manifest:
            return None  # the one that serves: its files were touched, or the store was away
        with _short_turns():
            return self._load(stored)

    def _cannot_tell(self, error: Exception) -> None:
        """Report, once per error, that the store is missing or unreadable, or chooses a version it does not hold."""
        if str(error) == self._trouble:
            return
        self._trouble = str(error)
        log.error("version %d serves on: %s", self._service.model.version, error)
        self._observer.reload_failed()

    def _refuse(self, version: int, seen: Fingerprint, error: Exception) -> None:
        self._refused[version] = seen
        reason = error.detail if isinstance(error, DigitVaeError) else f"{type(error).__name__}: {error}"
        line = " ".join(reason.split())[:300]  # a library's message may fill a page
        log.error("version %d is refused, %d serves on: %s", version, self._service.model.version, line)
        self._observer.reload_failed()

    def _swap(self, model: LoadedModel) -> None:
        before = self._service.swap_model(model)
        self._observer.serves(model.version)
        self._observer.reloaded()
        log.info("version %d serves in place of version %d", model.version, before.version)
        self._retired.add(before)
        before.retire(lambda: self._begin_to_free(before))

    def _begin_to_free(self, model: LoadedModel) -> None:
        if model in self._retired:
            self._retired.discard(model)
            freeing = asyncio.create_task(self._free(model))
            self._freeing.add(freeing)  # the loop itself holds tasks only weakly
            freeing.add_done_callback(self._freeing.discard)

    async def _free(self, model: LoadedModel) -> None:
        """Free a version after the running model call has ended, which may outlast the request that started it."""
        await self._service.wait_idle()
        await asyncio.get_running_loop().run_in_executor(self._thread, _release, model)


def _release(model: LoadedModel) -> None:
    model.engine.close()
    release_memory()  # graphs refer to themselves. What was frozen at the start is not looked through


@contextmanager
def _short_turns() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(min(usual, TURN_S))
    try:
        yield
    finally:
        sys.setswitchinterval(usual)
