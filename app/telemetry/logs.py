"""Log format: uvicorn's text, or one JSON object per line (VAE_LOG_FORMAT=json)."""

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from app.settings import Settings
from app.telemetry.request_id import current, id_of
from app.telemetry.tracing import trace_id_of

ACCESS = "app.telemetry.access_log"
UVICORNS = ("uvicorn", "uvicorn.error", "uvicorn.asgi", "uvicorn.access")

ENCODER = json.JSONEncoder(default=str)  # json.dumps would make one for each line


def configure(settings: Settings) -> None:
    """Configure the loggers of this process as the settings say; a second call changes nothing.

    In text format, only the service's own loggers change, since uvicorn sets up its own. In JSON, the root logger's
    handler writes everything: uvicorn's lines, warnings and libraries' messages too.
    """
    logging.getLogger("app").setLevel(settings.log_level)
    logging.getLogger(ACCESS).setLevel("INFO")  # whoever asks for the line means it, whatever the level of the rest
    if settings.log_format == "json":
        _all_as_json(settings.log_level)
    else:
        _ours_as_text()
    if settings.access_lines or settings.access_log is False:
        _silence(logging.getLogger("uvicorn.access"))


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON: time (RFC 3339, UTC), level, logger, message, and other known fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON in ASCII; a line break in a message is escaped."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC)
            .isoformat(timespec="microseconds")
            .replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (scope := current()) is not None:
            line |= {"request_id": id_of(scope), "trace_id": trace_id_of(scope)}
        if isinstance(record.args, Mapping):
            line |= record.args
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        return ENCODER.encode({name: value for name, value in line.items() if value is not None})


def _ours_as_text() -> None:
    ours = logging.getLogger("app")
    if not ours.handlers and not logging.getLogger().handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(levelname)s:     %(message)s"))
        ours.addHandler(handler)


def _all_as_json(level: str) -> None:
    root = logging.getLogger()
    if not any(isinstance(handler.formatter, JsonFormatter) for handler in root.handlers):
        handler = logging.StreamHandler()
        handler.setFormatter(JsonFormatter())
        root.addHandler(handler)
    for name in ("app", *UVICORNS):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    for name in UVICORNS:
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(True)


def _silence(logger: logging.Logger) -> None:
    """Remove the access logger's handlers: uvicorn makes no line if there is none to write it."""
    logger.handlers.clear()
    logger.propagate = False
