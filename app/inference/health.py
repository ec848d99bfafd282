"""Whether the model can still be called, and what follows when it cannot.

batching --failed--> Health --probe--> the model; routes/operations asks `trouble`

A call that fails proves nothing: its input may be at fault. So a failure only asks for a probe, a call on a row that
nobody sent, and the probe decides. A lost GPU, a session that was aborted and memory that ran out all look the same
from here: the probe fails too, and goes on failing. As long as no call fails, nothing here runs.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from app.errors import DigitVaeError, EngineError

PROBE_EVERY_S = 1.0
FAILING = "The model fails on every call; the process is started anew unless it recovers."
HANGING = "A model call does not return; the process is about to be started anew."

log = logging.getLogger(__name__)


class Health:
    """Judges the model by probes, from its first failure until one succeeds. Use it on one event loop.

    Args:
        probe: calls the model; raises EngineError if that fails.
        recovery_s: how long, in seconds, probes may fail before the model is given up.
        exit_process: called once, with a sentence that says why.
    """

    def __init__(
        self, probe: Callable[[], Awaitable[None]], recovery_s: float, exit_process: Callable[[str], object]
    ) -> None:
        self.trouble: str | None = None  # a sentence for whoever asks whether requests can be answered
        self._probe = probe
        self._recovery_s = recovery_s
        self._exit_process = exit_process
        self._probing: asyncio.Task[None] | None = None
        self._rest_until = 0.0

    def failed(self, error: DigitVaeError) -> None:
        """Note a failed call. Many failures cost one probe a second, so that bad input cannot keep the model busy."""
        if self._probing is None and time.monotonic() >= self._rest_until:
            self._probing = asyncio.get_running_loop().create_task(self._judge())

    def on_model_hang(self) -> None:
        """Note that a model call does not return."""
        self.trouble = HANGING

    def close(self) -> None:
        """Probe no more."""
        if self._probing is not None:
            self._probing.cancel()

    async def _judge(self) -> None:
        since = time.monotonic()
        while (fault := await self._fault()) is not None:
            if self.trouble is None:
                self.trouble = FAILING
                log.error("the model fails on a probe too; not ready", exc_info=fault)
            if time.monotonic() - since >= self._recovery_s:
                self._exit_process(f"the model has failed on every probe for {self._recovery_s:g} s")
                return  # without resetting _probing: it is given up once
            await asyncio.sleep(PROBE_EVERY_S)
        if self.trouble == FAILING:
            self.trouble = None
            log.warning("the model has recovered; ready again")
        self._rest_until = time.monotonic() + PROBE_EVERY_S
        self._probing = None

    async def _fault(self) -> EngineError | None:
        try:
            await self._probe()
        except EngineError as error:
            return error
        except DigitVaeError:  # a full queue, or the end of the service: says nothing of the model
            return None
        return None
