"""The engine on TensorFlow; the only module of the service that imports it.

A SavedModel's signature is called through a session's callable with the single-threaded executor. On a small batch
this takes an eighth of the time of the same call through `tf.saved_model.load`, because there is no eager tensor,
function dispatch or thread pool between the array and the kernels (docs/decisions/0002 and 0007).
"""

import os
import sys
import timeit
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from app.errors import CorruptVersion, EngineError
from app.imaging.types import ByteArray, FloatArray
from app.models.engine import Posterior
from app.models.graph_check import check_graph
from app.models.probe import probe
from app.models.store import StoredVersion

Run = Callable[[Any], list[Any]]

ENCODE = "serving_default"
GENERATE = "serving_default"
RENDER = "render"

# Kernels are prepared for each number of rows when it first occurs. Under load any number up to the clients' occurs.
WARM_ROWS = (*range(1, 65), 128, 256, 512, 1024)
# A batch on the event loop keeps everybody else waiting for as long as it takes; a thread costs 0.05 to 5 ms to wake
# while the loop is busy. Measured in docs/decisions/0007.
QUICK_S = 0.0025
QUICK_CANDIDATES = (256, 128, 64, 32, 16, 8, 4, 1)


class SavedModelEngine:
    """A published version that TensorFlow runs.

    Args:
        stored: the version; verify it first, since a SavedModel is a program.
        intra_op_threads: threads of one operation on the CPU; 0 leaves the number to TensorFlow.

    Raises:
        CorruptVersion: a SavedModel does not load, lacks a signature, or has an operation that is not allowed.
    """

    def __init__(self, stored: StoredVersion, intra_op_threads: int = 1) -> None:
        self.latent_dim = stored.manifest.latent_dim
        self.image_shape = stored.manifest.image_shape
        self.max_inline_batch = 0
        encoder = _Session(stored.encoder, intra_op_threads)
        generator = _Session(stored.generator, intra_op_threads)
        self._encode = encoder.signature(ENCODE, "image", ("z_mean", "z_log_var"))
        self._generate = generator.signature(GENERATE, "z", ("image",))
        self._render = generator.signature(RENDER, "z", ("image",))
        self._graphs: tuple[_Session, ...] = (encoder, generator)
        self._read_png = encoder.png_reader()

    def encode(self, images: FloatArray) -> Posterior:
        """See Engine."""
        return Posterior(*self._encode(images))

    def encode_uint8(self, levels: ByteArray) -> Posterior:
        """See Engine."""
        return Posterior(*self._encode(np.divide(levels, np.float32(255), dtype=np.float32)))

    def decode_png(self, png: bytes) -> ByteArray | None:
        """See Engine."""
        try:
            (levels,) = self._read_png(png)
        except EngineError:
            return None  # damaged: Pillow knows the words for it
        return levels[:, :, 0] if levels.shape[:2] == self.image_shape else None

    def generate(self, z: FloatArray) -> tuple[FloatArray]:
        """See Engine."""
        (images,) = self._generate(z)
        return (images,)

    def generate_uint8(self, z: FloatArray) -> tuple[ByteArray]:
        """See Engine."""
        (images,) = self._render(z)
        return (images,)

    def warm_up(self) -> None:
        """See Engine."""
        for n in WARM_ROWS:
            probe(self, n)
        self.max_inline_batch = next((n for n in QUICK_CANDIDATES if self._seconds(n) <= QUICK_S), 0)

    def close(self) -> None:
        """See Engine."""
        # A session frees its weights when nothing refers to it any more, and each of these does.
        self._encode = self._generate = self._render = self._read_png = _closed
        for graph in self._graphs:
            graph.close()
        self._graphs = ()

    def _seconds(self, n: int) -> float:
        """Return the seconds that the slower half of the model takes for n rows, the best of three calls."""
        images = np.zeros((n, *self.image_shape), np.float32)
        z = np.zeros((n, self.latent_dim), np.float32)
        return max(
            min(timeit.repeat(call, number=1, repeat=3))
            for call in (lambda: self.encode(images), lambda: self.generate_uint8(z))
        )


def _closed(batch: Any) -> list[Any]:
    raise EngineError("This version has been let go.")


def tensorflow() -> Any:
    """Return TensorFlow, imported at the first call, without its banner."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # On a few rows TensorFlow's own kernels take 20 to 40 % less than oneDNN's, on many as long (decision 0007).
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    with _keras_unseen():
        import tensorflow as tf

    tf.get_logger().setLevel("ERROR")  # the session API is called deprecated; nothing else is as fast
    return tf


@contextmanager
def _keras_unseen() -> Iterator[None]:
    """Make TensorFlow's optional import of Keras fail during the block, unless Keras is already imported.

    Inference does not need Keras. Where training is installed, Keras also imports pandas, scikit-learn and matplotlib:
    2.5 seconds of a core and 160 MB per worker.
    """
    if "keras" in sys.modules:
        yield
        return
    sys.modules["keras"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["keras"]


class _Session:
    """One SavedModel in its own session, with its variables converted to constants.

    Otherwise half of the operations of a call would fetch variables; on one row that is a tenth of the call's time.
    """

    def __init__(self, folder: Path, intra_op_threads: int) -> None:
        self._tf = tensorflow()
        _check(folder)
        config = self._config(intra_op_threads)  # for reading too: all sessions share the threads of the first
        try:
            self._signatures, definition = self._read(folder, config)
        except Exception as exc:  # protobuf, file system, missing ops and checkpoints fail each in their own way
            raise CorruptVersion(f"The {folder.parent.name} does not load: {type(exc).__name__}: {exc}") from exc
        self._graph = self._tf.Graph()
        with self._graph.as_default():
            self._tf.import_graph_def(definition, name="")
        self._session = self._tf.compat.v1.Session(graph=self._graph, config=config)

    def _read(self, folder: Path, config: Any) -> tuple[dict[str, Any], Any]:
        """Return the signatures by name, and a GraphDef of their outputs."""
        v1 = self._tf.compat.v1
        with v1.Session(graph=self._tf.Graph(), config=config) as session:
            signatures = dict(v1.saved_model.loader.load(session, ["serve"], str(folder)).signature_def)
            results = {each.name for found in signatures.values() for each in found.outputs.values()}
            nodes = sorted({name.partition(":")[0] for name in results if ":" in name})  # the rest are operations
            return signatures, v1.graph_util.convert_variables_to_constants(
                session, session.graph.as_graph_def(), nodes
            )

    def _config(self, intra_op_threads: int) -> Any:
        config = self._tf.compat.v1.ConfigProto(intra_op_parallelism_threads=intra_op_threads)
        config.gpu_options.allow_growth = True
        if not self._tf.config.list_physical_devices("GPU"):
            config.inter_op_parallelism_threads = 1
            config.experimental.executor_type = "SINGLE_THREADED_EXECUTOR"
        return config

    def signature(self, name: str, source: str, targets: tuple[str, ...]) -> Run:
        """Return one signature as a function from the array named `source` to the arrays named `targets`.

        Raises:
            CorruptVersion: the SavedModel has no such signature, input or output.
        """
        found = self._signatures.get(name)
        if found is None or not _fits(found, source, targets):
            raise CorruptVersion(f"The signature {name}({source}) -> {', '.join(targets)} is missing.")
        kind = self._tf.as_dtype(found.inputs[source].dtype).as_numpy_dtype
        return self._call(found.inputs[source].name, [found.outputs[target].name for target in targets], kind)

    def png_reader(self) -> Run:
        """Return a function from the bytes of a PNG to its grey levels, uint8 (h, w, 1)."""
        with self._graph.as_default():
            png = self._tf.compat.v1.placeholder(self._tf.string, ())
            levels = self._tf.io.decode_png(png, channels=1)
        return self._call(png.name, [levels.name], np.object_)

    def _call(self, feed: str, fetches: list[str], kind: type[np.generic]) -> Run:
        # The public make_callable goes through the entry point of Session.run, which takes 75 us to do nothing; this
        # one, made for Keras, takes 5. The run stays on the calling thread: there is nothing to run beside it.
        from tensorflow.core.protobuf.config_pb2 import CallableOptions

        options = CallableOptions()
        options.feed.append(feed)
        options.fetch.extend(fetches)
        options.run_options.inter_op_thread_pool = -1
        return _translated(self._session._make_callable_from_options(options), kind)

    def close(self) -> None:
        """Free the session's memory."""
        self._session.close()


def _check(folder: Path) -> None:
    """Check the graphs of a SavedModel before anything of it runs.

    Raises:
        CorruptVersion: the file cannot be read, or a graph has an operation that is not allowed.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    model = SavedModel()
    try:
        model.ParseFromString((folder / "saved_model.pb").read_bytes())
    except (OSError, DecodeError) as exc:
        raise CorruptVersion(f"The {folder.parent.name} does not load: {type(exc).__name__}.") from exc
    for meta_graph in model.meta_graphs:
        check_graph(meta_graph)


def _fits(signature: Any, source: str, targets: tuple[str, ...]) -> bool:
    return set(signature.inputs) == {source} and set(targets) <= set(signature.outputs)


def _translated(run: Callable[[Any], list[Any]], kind: type[np.generic]) -> Run:
    def call(batch: Any) -> list[Any]:
        try:
            return run(np.asarray(batch, kind))  # an array of another type would abort the process
        except Exception as exc:  # tensorflow.errors.*: the caller knows nothing of them
            raise EngineError(f"The model failed on an input of {len(batch)}: {type(exc).__name__}.") from exc

    return call
