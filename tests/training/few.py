"""A handful of a data set."""

from __future__ import annotations

from training.data import DataSet


def first(whole: DataSet, train: int, test: int) -> DataSet:
    assert whole.y_train is not None
    assert whole.y_test is not None
    return DataSet("few", whole.x_train[:train], whole.y_train[:train], whole.x_test[:test], whole.y_test[:test])
