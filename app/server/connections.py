"""All connections of a process: how many there may be, and how long each may keep the service waiting.

uvicorn -> BoundedProtocol --admit, forget--> Connections;  the sweep --state, time_out--> BoundedProtocol

Nothing is timed while requests come and go. The sweep looks at every connection about once a second and remembers what
it waits for; only what has not changed since an earlier look has a duration. A request that is over before the next
look costs nothing, and what is too slow is noticed at most two looks late, never early.
"""

from __future__ import annotations

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
    """What keeps a connection waiting; the values are how the log calls a connection that was closed for it."""

    SERVICE = "at work"  # bounded by admission.py and body_limit.py
    IDLE = "idle"  # no request under way
    HEAD = "slow with a request's head"
    BODY_TAIL = "slow with the rest of a body that was answered already"
    READER = "slow to take an answer"


class Connection(Protocol):
    """What the sweep asks of a connection."""

    @property
    def unsent(self) -> int:
        """Bytes of answers that the caller has not taken yet."""

    def state(self) -> tuple[ConnectionState, object]:
        """Return the state of the connection and the request it concerns; equal results mean an unchanged state."""

    def time_out(self, wait: ConnectionState) -> None:
        """End a connection that has been in a state for too long."""


@dataclass(frozen=True)
class Bounds:
    """What a connection may ask for; see the settings of the same names."""

    connections: int
    header_bytes: int
    headers: int
    body_bytes: int
    unsent_bytes: int
    allowed_s: dict[ConnectionState, float]

    @staticmethod
    def of(settings: Settings) -> Bounds:
        """As an operator has set them."""
        return Bounds(
            connections=settings.max_connections,
            header_bytes=settings.max_header_bytes,
            headers=settings.max_headers,
            body_bytes=settings.max_body_bytes,
            unsent_bytes=settings.max_unsent_bytes,
            allowed_s={
                ConnectionState.IDLE: settings.idle_timeout_s,
                ConnectionState.HEAD: settings.header_timeout_s,
                ConnectionState.BODY_TAIL: settings.body_timeout_s,
                ConnectionState.READER: settings.send_timeout_s,
            },
        )

    @property
    def look_s(self) -> float:
        """The time from one look to the next."""
        return min(MAX_SWEEP_S, max(MIN_SWEEP_S, min(self.allowed_s.values()) / LOOKS))


@dataclass
class _Seen:
    wait: ConnectionState
    of: object
    since: float


class Connections:
    """The connections of one event loop. Made before there is a loop, so that it can be handed to a new process."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.leaving = 0  # refused and no longer counted, but not closed yet
        self._seen: dict[Connection, _Seen | None] = {}
        self._idle: list[Connection] = []  # at the latest look; the longest idle last
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._seen)

    def admit(self, connection: Connection) -> bool:
        """Take it in, if need be in place of an idle one; False if there is no room."""
        if len(self._seen) >= self.bounds.connections and not self._made_room():
            return False
        self._seen[connection] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.bounds.look_s, self._sweep)
        return True

    def forget(self, connection: Connection) -> None:
        """Stop counting a connection that is closed or was handed on."""
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
        self._timer = loop.call_later(self.bounds.look_s, self._sweep) if self._seen else None

    def _late(self, connection: Connection, now: float) -> tuple[Connection, ConnectionState] | None:
        wait, of = connection.state()
        seen = self._seen[connection]
        if seen is None or seen.wait is not wait or seen.of is not of:
            self._seen[connection] = _Seen(wait, of, now)
            return None
        return (connection, wait) if now - seen.since > self.bounds.allowed_s.get(wait, float("inf")) else None

    def _shed_slow_readers(self) -> int:
        """Drop who has kept an answer longest, until what is unsent fits its bound; how many."""
        slow = [(seen.since, each) for each, seen in self._seen.items() if seen and seen.wait is ConnectionState.READER]
        unsent = sum(each.unsent for _, each in slow)
        dropped = 0
        for _, each in sorted(slow, key=lambda pair: pair[0]):
            if unsent <= self.bounds.unsent_bytes:
                break
            unsent -= each.unsent
            dropped += 1
            _time_out(each, ConnectionState.READER)
        return dropped


def _time_out(connection: Connection, wait: ConnectionState) -> None:
    """Close a connection; if the caller has gone in the meantime, that must not end the sweep over the others."""
    with suppress(OSError):
        connection.time_out(wait)
