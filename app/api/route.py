"""Routes: paths, their methods, and the functions that answer requests for them."""

from collections.abc import Coroutine, Sequence
from typing import Any

from fastapi import Response
from pydantic_core import to_json
from starlette import routing
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.requests import JSON, Request
from app.errors import MethodNotAllowed


class Route(routing.Route):
    """Starlette's route, called without FastAPI, which only documents it: nothing is injected, nothing validated.

    The function takes the request and returns a response, or models of pydantic to be sent as JSON. Errors go on to
    the layers around.
    """

    methods: set[str]

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request for the path.

        Raises:
            MethodNotAllowed: the path is served with other methods.
        """
        if scope["method"] not in self.methods:
            allowed = ", ".join(sorted(self.methods))
            detail = f"{scope['method']} is not served at {scope['path'][:200]}; use {allowed}."
            raise MethodNotAllowed(detail, {"allow": allowed})
        found = await self.endpoint(Request(scope, receive, send))
        response = found if isinstance(found, Response) else Response(to_json(found), media_type=JSON)
        await response(scope, receive, send)


class Router(routing.Router):
    """Starlette's router, which looks a path without parameters up before it tries the routes one by one."""

    def __init__(self, routes: Sequence[Route], default: ASGIApp) -> None:
        super().__init__(routes, default=default)
        self._plain = {route.path: route for route in reversed(routes) if not route.param_convertors}

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        """Answer one request."""
        route = self._plain.get(scope["path"])
        if route is None:
            return self.app(scope, receive, send)
        scope["route"] = route
        return route.handle(scope, receive, send)
