"""The Python client of the service: `Client`, and `AsyncClient` for asyncio.

images, z --inputs--> batches --calls--> httpx --answers--> arrays and pictures
                                   retries: whether and when to try again

Everything but `sync` and `asynchronous` is pure and shared by the two. Nothing here knows the server's modules,
FastAPI or TensorFlow: httpx, NumPy and Pillow are all that a caller needs.
"""

from app.client.asynchronous import AsyncClient
from app.client.errors import (
    BadAnswer,
    ClientError,
    ConnectionFailed,
    Fault,
    InvalidInput,
    NotReady,
    Problem,
    ProblemError,
    Refused,
    TimedOut,
    Unavailable,
    VersionChanged,
)
from app.client.inputs import Image, Images, Sending
from app.client.results import Drawing, Encoding, Generated, Reconstruction
from app.client.retries import Retries
from app.client.sync import Client

__all__ = [
    "AsyncClient",
    "BadAnswer",
    "Client",
    "ClientError",
    "ConnectionFailed",
    "Drawing",
    "Encoding",
    "Fault",
    "Generated",
    "Image",
    "Images",
    "InvalidInput",
    "NotReady",
    "Problem",
    "ProblemError",
    "Reconstruction",
    "Refused",
    "Retries",
    "Sending",
    "TimedOut",
    "Unavailable",
    "VersionChanged",
]
