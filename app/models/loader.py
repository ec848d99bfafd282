"""Load a stored version as a LoadedModel: verify its files, open its engine, probe it and warm it up."""

import ctypes
import gc
import logging
import time
from collections.abc import Callable

from app.errors import require_tensorflow
from app.models import latent_points
from app.models.engine import Engine
from app.models.loaded_model import LoadedModel
from app.models.parallel_engine import ParallelEngine
from app.models.probe import probe
from app.models.store import StoredVersion
from app.settings import Settings

OpenEngine = Callable[[StoredVersion, Settings], Engine]

log = logging.getLogger(__name__)


def load_version(stored: StoredVersion, settings: Settings, open_engine: OpenEngine) -> LoadedModel:
    """Verify, load, probe and warm up a stored version.

    Raises:
        StoreError: the version does not match its manifest.
        EngineError: the model's outputs do not match its manifest.
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
    return LoadedModel(
        stored.manifest,
        ParallelEngine(engine, settings.batch_threads) if settings.batch_threads > 1 else engine,
        latent_picture=picture.read_bytes() if picture.is_file() else None,
        latent_points=latent_points.load(stored.report / "latents.npz"),
    )


def open_saved_models(stored: StoredVersion, settings: Settings) -> Engine:
    """Load the version's SavedModels; TensorFlow is imported here.

    Raises:
        MissingTensorFlow: TensorFlow is not installed.
    """
    require_tensorflow()
    from app.models.savedmodel import SavedModelEngine

    return SavedModelEngine(stored, settings.intra_op_threads)


def release_memory() -> None:
    """Collect garbage and, with glibc, return free memory to the OS.

    Call it after something large has been released, such as memory used only while loading. It takes some milliseconds.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # malloc_trim(3)
    if trim is not None:
        trim(0)
