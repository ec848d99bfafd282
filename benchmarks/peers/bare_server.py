"""The floor: a Starlette route that reads the body and answers with a constant picture."""

import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

PNG = (Path(__file__).parents[2] / "docs" / "images" / "digit.png").read_bytes()
SHEET = (Path(__file__).parents[2] / "docs" / "images" / "manifold.png").read_bytes()


async def digit(request: Request) -> Response:
    """Any body to the same digit."""
    await request.body()
    return Response(PNG, media_type="image/png")


async def manifold(request: Request) -> Response:
    """A picture as large as the manifold."""
    return Response(SHEET, media_type="image/png")


app = Starlette(
    routes=[
        Route("/generate", digit, methods=["POST"]),
        Route("/encode", digit, methods=["POST"]),
        Route("/manifold.png", manifold),
        Route("/readyz", manifold),
    ]
)

if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), access_log=False, log_level="warning")
