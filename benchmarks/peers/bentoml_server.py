"""BentoML with adaptive batching; arrays in and out as JSON, since a batch of pictures has no form of its own."""

import bentoml
import numpy as np
from models import Models


@bentoml.service(workers=2, traffic={"timeout": 30, "max_concurrency": 1000})
class Vae:
    def __init__(self) -> None:
        self.models = Models()

    @bentoml.api(batchable=True, max_batch_size=64, max_latency_ms=1000, route="/generate")
    def generate(self, z: np.ndarray) -> np.ndarray:
        return self.models.generate(z)

    @bentoml.api(batchable=True, max_batch_size=64, max_latency_ms=1000, route="/encode")
    def encode(self, images: np.ndarray) -> np.ndarray:
        return np.stack(self.models.encode(images), 1)
