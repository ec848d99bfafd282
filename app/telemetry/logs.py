"""How log lines look: text as uvicorn has it, or an object of JSON per line (VAE_LOG_FORMAT=json)."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from app.settings import Settings
from app.telemetry.request_id import current, id_of
from app.telemetry.response_recorder import trace_id_of

ACCESS = "app.telemetry.access_log"
UVICORNS = ("uvicorn", "uvicorn.error", "uvicorn.asgi", "uvicorn.access")

ENCODER = json.JSONEncoder(default=str)  # json.dumps would make one for each line


def configure(settings: Settings) -> None:
    """Make the loggers of this process speak as the settings say; doing it twice changes nothing.

    As text, only our own loggers are touched, since uvicorn sets up its own. As JSON, everything goes through the root
    logger's handler: uvicorn's lines, warnings and what libraries say, too.
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
    """A record as one line of JSON: time (RFC 3339, UTC), level, logger, message, and what else is known."""

    def format(self, record: logging.LogRecord) -> str:
        """Format the line in ASCII: a line break in a message is escaped."""
        line: dict[str, Any] = {
            "time": _rfc3339(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_request(),
        }
        if isinstance(record.args, Mapping):
            line |= record.args
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        return ENCODER.encode({name: value for name, value in line.items() if value is not None})


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _request() -> dict[str, Any]:
    """Which request the line is about, if one is being answered."""
    scope = current()
    return {} if scope is None else {"request_id": id_of(scope), "trace_id": trace_id_of(scope)}


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
    """Uvicorn asks whether its access logger has anybody to speak to, and if not makes no line."""
    logger.handlers.clear()
    logger.propagate = False
