"""Each request is answered by the version of the model that serves when it arrives."""

from starlette.types import ASGIApp, Receive, Scope, Send

from app.inference.service import Service


class PinModel:
    """ASGI middleware that puts the service and its present model into a request's scope, and keeps the model."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        service: Service | None = scope["app"].service
        if service is None:  # before the lifespan
            await self._app(scope, receive, send)
            return
        scope["service"] = service
        model = scope["model"] = service.model
        model.users += 1  # `with model` would be two calls more
        try:
            await self._app(scope, receive, send)
        finally:
            del scope["model"]  # timers that were cancelled remember the scope for a while
            model.users -= 1
            if model.is_retired:
                model.free_if_unused()
