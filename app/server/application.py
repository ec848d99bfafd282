"""The application that requests enter: FastAPI with what stands before it."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from app.inference.service import Service
from app.server.at_once import AtOnce


class Application(FastAPI):
    """FastAPI behind the edge: what takes a short cut there never comes in here."""

    edge: ASGIApp
    express: AtOnce | None = None
    service: Service | None = None  # from the start of the lifespan; routes find it in the state

    def has(self, service: Service) -> None:
        """Use this service from now on."""
        self.service = self.state.service = service
        if self.express is not None:
            self.express.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the lifespan."""
        scope["app"] = self
        service = self.service
        if service is None:
            await self.edge(scope, receive, send)
            return
        scope["service"] = service
        with service.model as scope["model"]:  # a request is answered by the version it began on
            try:
                await self.edge(scope, receive, send)
            finally:
                del scope["model"]  # timers that were cancelled remember the scope for a while
