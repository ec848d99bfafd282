"""FastAPI as tutorials write it: a route per function, the model called once a request; a process per core."""

import sys
from functools import lru_cache

import uvicorn
from fastapi import Body, FastAPI, Response
from models import Models, levels_of, png_of
from pydantic import BaseModel

app = FastAPI()
models = lru_cache(1)(Models)


class Latent(BaseModel):
    z: list[float]


@app.post("/generate")
def generate(latent: Latent) -> Response:
    return Response(png_of(models().generate([latent.z])[0]), media_type="image/png")


@app.post("/encode")
def encode(png: bytes = Body(media_type="image/png")) -> dict[str, list[list[float]]]:
    z_mean, z_log_var = models().encode([levels_of(png)])
    return {"z_mean": z_mean, "z_log_var": z_log_var}


@app.get("/readyz")
def ready() -> str:
    models()
    return "ready"


if __name__ == "__main__":
    uvicorn.run("fastapi_server:app", port=int(sys.argv[1]), workers=2, access_log=False, log_level="warning",
                timeout_worker_healthcheck=120)  # fmt: skip
