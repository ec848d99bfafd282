"""Detection of a model that fails on every call, and of its recovery.

batcher --failed--> Health --probe--> the model; Service.check_ready reads `trouble`

A failed call proves nothing: its input may be at fault. It only triggers a probe, a call on a row that no client sent.
After the loss of a GPU, an aborted session or exhausted memory the probe fails too, every time. As long as no call
fails, nothing here runs.
"""

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
    """Probes the model from its first failure until a probe succeeds. Must be used on one event loop.

    Args:
        probe: calls the model; raises EngineError if that fails.
        recovery_s: the time in seconds for which probes may fail before the process is ended.
        exit_process: called once, with the reason as a sentence.
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
        """Record a failed call. At most one probe a second follows, so that bad input cannot keep the model busy."""
        if self._probing is None and time.monotonic() >= self._rest_until:
            self._probing = asyncio.get_running_loop().create_task(self._judge())

    def on_model_hang(self) -> None:
        """Record that a model call does not return."""
        self.trouble = HANGING

    def close(self) -> None:
        """Stop probing."""
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
