"""The training branch of the exception tree in app/errors.py.

TrainingError            training-error
├── DataError            data-error       a data set is missing, unreachable or invalid
├── Diverged             diverged         the loss is no longer a number
├── StateError           state-error      the state of an interrupted run cannot be saved or read
└── PublishError         publish-error    the store cannot be written, or an export differs from its model
"""

from app.errors import DigitVaeError


class TrainingError(DigitVaeError):
    """Training or publishing cannot continue."""


class DataError(TrainingError):
    """A data set is missing, unreachable or invalid."""


class Diverged(TrainingError):
    """The loss is no longer a number."""


class StateError(TrainingError):
    """The state of an interrupted run cannot be saved or read."""


class PublishError(TrainingError):
    """The store cannot be written, or an exported model differs from the trained one."""
