"""All connections of a process: their maximum number, and time limits for each of their states.

uvicorn -> LimitedHttpProtocol --admit, forget--> Connections;  the sweep --state, time_out--> LimitedHttpProtocol

No timer runs per request. The sweep records the state of every connection about once a second. A state has a duration
only if an earlier sweep has seen it unchanged. A request that ends before the next sweep costs nothing. A slow
connection is closed at most two sweeps late, never early.
"""

import asyncio
import logging
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from app.settings import Settings

MAX_SWEEP_S = 1.0
MIN_SWEEP_S = 0.02
LOOKS = 10  # in the time that the least patient bound allows

log = logging.getLogger(__name__)


class ConnectionState(Enum):
    """The states of a connection; the values describe a closed connection in the log."""

    SERVICE = "at work"  # bounded by admission.py and body_limit.py
    IDLE = "idle"  # no request under way
    HEAD = "slow with a request's head"
    BODY_TAIL = "slow with the rest of a body that was answered already"
    READER = "slow to take an answer"


class Connection(Protocol):
    """The interface of a connection that the sweep uses."""

    @property
    def unsent(self) -> int:
        """Bytes of responses that the client has not received yet."""

    def state(self) -> tuple[ConnectionState, object]:
        """Return the state of the connection and the request it concerns; equal results mean an unchanged state."""

    def time_out(self, wait: ConnectionState) -> None:
        """End a connection that has been in a state for too long."""


@dataclass
class _Seen:
    wait: ConnectionState
    of: object
    since: float


class Connections:
    """The connections of one event loop. It is created before the loop, so that it can be passed to a new process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.allowed_s = {
            ConnectionState.IDLE: settings.idle_timeout_s,
            ConnectionState.HEAD: settings.header_timeout_s,
            ConnectionState.BODY_TAIL: settings.body_timeout_s,
            ConnectionState.READER: settings.send_timeout_s,
        }
        self.sweep_s = min(MAX_SWEEP_S, max(MIN_SWEEP_S, min(self.allowed_s.values()) / LOOKS))
        self.leaving = 0  # refused and no longer counted, but not closed yet
        self._seen: dict[Connection, _Seen | None] = {}
        self._idle: list[Connection] = []  # at the latest look; the longest idle last
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._seen)

    def admit(self, connection: Connection) -> bool:
        """Count a connection, closing an idle one for it if necessary; return False if there is no room."""
        if len(self._seen) >= self.settings.max_connections and not self._made_room():
            return False
        self._seen[connection] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.sweep_s, self._sweep)
        return True

    def forget(self, connection: Connection) -> None:
        """Stop counting a connection that is closed or being closed."""
        self._seen.pop(connection, None)

    def _made_room(self) -> bool:
        while self._idle:
            connection = self._idle.pop()
            if connection in self._seen and connection.state()[0] is ConnectionState.IDLE:
                self.forget(connection)
                connection.time_out(ConnectionState.IDLE)
                return True
        return False

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        late = [found for connection in self._seen if (found := self._late(connection, now))]
        for connection, wait in late:
            _time_out(connection, wait)
        closed = Counter(wait.value for _, wait in late)
        closed[ConnectionState.READER.value] += self._shed_slow_readers()
        if +closed:
            log.info("closed connections: %s", ", ".join(f"{count} {why}" for why, count in (+closed).items()))
        idle = (
            (seen.since, connection)
            for connection, seen in self._seen.items()
            if seen and seen.wait is ConnectionState.IDLE
        )
        self._idle = [connection for _, connection in sorted(idle, key=lambda pair: -pair[0])]
        self._timer = loop.call_later(self.sweep_s, self._sweep) if self._seen else None

    def _late(self, connection: Connection, now: float) -> tuple[Connection, ConnectionState] | None:
        wait, of = connection.state()
        seen = self._seen[connection]
        if seen is None or seen.wait is not wait or seen.of is not of:
            self._seen[connection] = _Seen(wait, of, now)
            return None
        return (connection, wait) if now - seen.since > self.allowed_s.get(wait, float("inf")) else None

    def _shed_slow_readers(self) -> int:
        """Abort the slowest readers until unsent bytes fit `max_unsent_bytes`; return how many were aborted."""
        slow = [(seen.since, each) for each, seen in self._seen.items() if seen and seen.wait is ConnectionState.READER]
        unsent = sum(each.unsent for _, each in slow)
        dropped = 0
        for _, each in sorted(slow, key=lambda pair: pair[0]):
            if unsent <= self.settings.max_unsent_bytes:
                break
            unsent -= each.unsent
            dropped += 1
            _time_out(each, ConnectionState.READER)
        return dropped


def _time_out(connection: Connection, wait: ConnectionState) -> None:
    """Close a connection; ignore an OSError, since the client may be gone and the sweep must check the others."""
    with suppress(OSError):
        connection.time_out(wait)
