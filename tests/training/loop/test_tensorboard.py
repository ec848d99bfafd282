import pytest

from training.errors import TrainingError
from training.loop.history import Epoch
from training.loop.losses import Losses
from training.loop.tensorboard import logging
from training.loop.train import Progress

ROW = Epoch(1, Losses(3, 2, 1), Losses(30, 20, 10), 0.1)


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with logging(None) as on_progress:
        on_progress(Progress(1, 1, ROW.train, ROW))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_each_epoch_is_a_point_of_the_curves_of_training_and_of_testing(tmp_path):
    import tensorflow as tf
    from tensorflow.core.util.event_pb2 import Event

    with logging(tmp_path / "logs") as on_progress:
        on_progress(Progress(0, 2, ROW.train))  # within an epoch
        on_progress(Progress(1, 2, ROW.train, ROW))
    for part, losses in (("train", ROW.train), ("test", ROW.validation)):
        (path,) = (tmp_path / "logs" / part).iterdir()
        events = [Event.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(path))]
        found = [
            (event.step, value.tag, float(tf.make_ndarray(value.tensor)))
            for event in events
            for value in event.summary.value
        ]
        assert found == [(1, f"nats per image/{name}", value) for name, value in losses._asdict().items()]


@pytest.mark.slow
def test_a_folder_that_cannot_be_made_is_one_error_of_training(tmp_path):
    (tmp_path / "logs").touch()
    with pytest.raises(TrainingError, match="cannot be written"), logging(tmp_path / "logs"):
        pass
