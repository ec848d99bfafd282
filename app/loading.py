"""From a stored version to a model that serves."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from app import points
from app.engine import Engine
from app.errors import require_tensorflow
from app.served_model import ServedModel
from app.settings import Settings
from app.spreading import SpreadEngine
from app.store import StoredVersion
from app.verification import probe

OpenEngine = Callable[[StoredVersion, Settings], Engine]

log = logging.getLogger(__name__)


def load(stored: StoredVersion, settings: Settings, open_engine: OpenEngine) -> ServedModel:
    """A stored version verified, loaded, tried and warm.

    Raises:
        StoreError: it is not what its manifest says.
        EngineError: the model does not do what its manifest says.
    """
    started = time.perf_counter()
    stored.verify()
    engine = open_engine(stored, settings)
    try:
        probe(engine)
        engine.warm_up()
    except BaseException:
        engine.close()
        raise
    picture = stored.report / "latent.png"
    log.info("version %d is ready after %.1f s", stored.version, time.perf_counter() - started)
    return ServedModel(
        stored.manifest,
        SpreadEngine(engine, settings.batch_threads) if settings.batch_threads > 1 else engine,
        latent_picture=picture.read_bytes() if picture.is_file() else None,
        latent_points=points.load(stored.report / "latents.npz"),
    )


def open_saved_models(stored: StoredVersion, settings: Settings) -> Engine:
    """The version's SavedModels on TensorFlow, which is imported here.

    Raises:
        MissingTensorFlow: it is not installed.
    """
    require_tensorflow()
    from app.savedmodel import SavedModelEngine

    return SavedModelEngine(stored, settings.intra_op_threads)
