"""How long a request's body may take to come, under any ASGI server.

short_cuts.py and body_limit.py --await clock--> the next message of `receive`, or BodyTimeout

Most bodies are there before they are asked for, so nothing is started until there is really something to wait for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

from starlette.types import Message, Receive

from app.errors import BodyTimeout


class BodyBrokenOff(asyncio.CancelledError):
    """The request was cancelled while it waited for its body; admission.py answers it."""


class BodyClock:
    """`await clock` is the next message of `receive`; together they may be waited for `timeout_s` seconds.

    Raises:
        BodyTimeout: the time is up.
        BodyBrokenOff: the request was cancelled in the meantime.
    """

    __slots__ = ("_due", "_receive", "_timeout_s")

    def __init__(self, receive: Receive, timeout_s: float) -> None:
        self._receive = receive
        self._timeout_s = timeout_s
        self._due: float | None = None  # when the time is up, once the clock runs

    def __await__(self) -> Generator[Any, Any, Message]:
        step = self._receive().__await__()
        try:
            first = next(step)
        except StopIteration as told:
            message: Message = told.value
            return message
        return (yield from self._in_time(_Begun(step, first)).__await__())

    async def _in_time(self, begun: _Begun) -> Message:
        if self._due is None:
            self._due = asyncio.get_running_loop().time() + self._timeout_s
        try:
            async with asyncio.timeout_at(self._due):
                return await begun
        except TimeoutError:
            raise BodyTimeout(f"The body did not come in {self._timeout_s:g} s.") from None
        except asyncio.CancelledError as exc:
            raise BodyBrokenOff from exc


class _Begun:
    """An awaitable that has taken its first step; awaiting it goes on with the second."""

    def __init__(self, step: Generator[Any, Any, Message], first: Any) -> None:
        self._step = step
        self._first = first

    def __await__(self) -> Generator[Any, Any, Message]:
        try:
            yield self._first
        except BaseException as exc:
            self._step.throw(exc)  # as it would have been thrown into it: it cleans up, and lets it pass
            raise
        return (yield from self._step)
