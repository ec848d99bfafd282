"""The FastAPI application, with the ASGI layers around it."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from app.inference.service import Service
from app.server.at_once import AtOnce


class Application(FastAPI):
    """FastAPI inside the layers of `edge`; a request that one of them answers does not enter FastAPI."""

    edge: ASGIApp
    express: AtOnce | None = None
    service: Service | None = None  # from the start of the lifespan; routes find it in the state

    def has(self, service: Service) -> None:
        """Use this service from now on."""
        self.service = self.state.service = service
        if self.express is not None:
            self.express.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request with the model that serves when it arrives, or run the lifespan."""
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
