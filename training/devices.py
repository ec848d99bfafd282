"""The devices and hosts that a run computes on. TensorFlow's strategies share the work; this module chooses one.

A single device needs no strategy. Several GPUs of one host are mirrored. Several hosts, listed in TF_CONFIG, are
mirrored with all of their GPUs. A run is the same on all of them up to the order in which floats are summed: the
batch is split among the devices, and every device uses its rows of the whole batch's noise.
"""

import hashlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Self

from app.models import native_log
from training.errors import TrainingError


@dataclass(frozen=True)
class Rows:
    """The rows of a batch that one device computes."""

    first: Any  # from 0, a scalar tensor
    size: int
    of: int  # rows of the whole batch

    @classmethod
    def of_rank(cls, rank: Any, count: int, batch: int) -> Self:
        """Return the rows of device number `rank`, from 0, of `count` devices; `count` divides the batch."""
        return cls(rank * (batch // count), batch // count, batch)

    def cut(self, whole: Any, axis: int = 0) -> Any:
        """Return these rows of an array of the whole batch, whose shape is known when the graph is made."""
        import tensorflow as tf

        begin, size = [0] * len(whole.shape), list(whole.shape)
        begin[axis], size[axis] = self.first, self.size
        return tf.slice(whole, begin, size)


@dataclass(frozen=True)
class Devices:
    """The devices of a run, and this process's role in it.

    Args:
        strategy: a tf.distribute.Strategy; None for the one device that TensorFlow chooses.
        hosts: number of processes that run together.
        chief: true for the process that prints, saves and publishes.
    """

    strategy: Any = None
    hosts: int = 1
    chief: bool = True

    @property
    def count(self) -> int:
        """Number of devices on all hosts."""
        return self.strategy.num_replicas_in_sync if self.strategy else 1

    def scope(self) -> AbstractContextManager[Any]:
        """Return a context in which each variable gets a copy on every device."""
        return self.strategy.scope() if self.strategy else nullcontext()

    def check(self, batch: int) -> None:
        """Raise a TrainingError unless the devices can share a batch evenly."""
        if batch % self.count:
            raise TrainingError(
                f"A batch of {batch} cannot be shared evenly by {self.count} devices. "
                f"Choose a --batch-size that is a multiple of {self.count}, or let fewer devices be seen."
            )

    def hosts_agree(self, text: str) -> bool:
        """Return whether all hosts pass the same text; every host must call it, and all get the same result."""
        if self.hosts == 1:
            return True
        import tensorflow as tf

        said = tf.constant(list(hashlib.sha256(text.encode()).digest()[:16]), tf.int32)[tf.newaxis]

        @tf.function(autograph=False)
        def gathered() -> Any:
            return self.strategy.gather(self.strategy.run(lambda: tf.identity(said)), axis=0)

        return bool(tf.reduce_all(gathered() == said))

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Raise a TrainingError if another host is lost during the block."""
        if self.hosts == 1:
            yield
            return
        import tensorflow as tf

        try:
            yield
        except tf.errors.UnavailableError as exc:
            raise TrainingError(
                "The hosts lost each other. Start the same command on all of them again, with --resume."
            ) from exc


def hosts() -> int:
    """Return the number of processes that TF_CONFIG makes run together; 1 without it.

    Raises:
        TrainingError: TF_CONFIG is invalid.
    """
    return max(1, sum(map(len, _cluster()[0].values())))


def is_chief() -> bool:
    """Return whether this process prints, saves and publishes.

    In TF_CONFIG that is the chief, or worker 0 if there is no chief; without TF_CONFIG it is any process.

    Raises:
        TrainingError: TF_CONFIG is invalid.
    """
    cluster, kind, number = _cluster()
    return not cluster or kind == "chief" or (number == 0 and "chief" not in cluster)


def import_tensorflow() -> None:
    """Import TensorFlow and list its devices, with its native messages diverted to the log.

    Call it before anything else imports TensorFlow or Keras; later calls do nothing.
    """
    if {"tensorflow", "keras"} & sys.modules.keys():
        return
    with native_log.held():
        import tensorflow as tf

        tf.config.list_physical_devices()


def choose() -> Devices:
    """Choose all GPUs that TensorFlow sees on this host, or on all hosts in TF_CONFIG; one device if there are no more.

    With several hosts it waits for the others. It must then be called from the main thread, before TensorFlow has
    created its first tensor on a device.

    Raises:
        TrainingError: TF_CONFIG is invalid, or the hosts do not find each other.
    """
    import tensorflow as tf

    if hosts() > 1:
        with _handlers_kept():
            return Devices(_several_hosts(), hosts(), is_chief())
    if len(tf.config.list_physical_devices("GPU")) > 1:
        return Devices(tf.distribute.MirroredStrategy())
    return Devices()


def _several_hosts() -> Any:
    import tensorflow as tf

    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except (tf.errors.OpError, ValueError, RuntimeError) as exc:
        raise TrainingError(f"The hosts of TF_CONFIG cannot run together: {str(exc).splitlines()[0]}") from exc


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Let Ctrl-C end the process at once during the block: no Python runs while TensorFlow waits for the other hosts.

    Restore the handlers of SIGINT and SIGTERM afterwards. TensorFlow replaces the handler of SIGTERM during the block,
    and only records the signal as a notice of preemption.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _cluster() -> tuple[dict[str, list[str]], str, int]:
    """Return the addresses of the hosts by kind, and this process's kind and number; no hosts without TF_CONFIG.

    Raises:
        TrainingError: TF_CONFIG is invalid.
    """
    try:
        fields = json.loads(os.environ.get("TF_CONFIG") or "{}")
        cluster = {kind: fields["cluster"][kind] for kind in ("chief", "worker") if fields.get("cluster", {}).get(kind)}
        return (cluster, str(fields["task"]["type"]), int(fields["task"]["index"])) if cluster else ({}, "", 0)
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise TrainingError(
            'TF_CONFIG must be like {"cluster": {"worker": ["one:2222", "two:2222"]}, '
            '"task": {"type": "worker", "index": 0}}.'
        ) from exc
