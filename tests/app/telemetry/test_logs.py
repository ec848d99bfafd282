"""Log lines as JSON: what they say, and that they are off unless asked for."""

import json
import logging
import warnings
from typing import Any

import httpx
import pytest

from app.main import create_app
from app.settings import Settings
from app.telemetry import logs

pytestmark = pytest.mark.usefixtures("loggers_as_they_were")
TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACED = {"x-request-id": "mine", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}


def lines(capsys) -> list[dict[str, Any]]:
    """What was written to standard error so far, each line of it JSON."""
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


async def served(settings: Settings, engine, **changes):
    """A client of a service with these settings, and what must be left at the end."""
    app = create_app(settings.model_copy(update=changes), lambda stored, settings: engine)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=("192.0.2.7", 5))
    return app, httpx.AsyncClient(transport=transport, base_url="http://service")


async def test_lines_about_a_request_name_it_and_have_their_traceback(settings, engine, capsys):
    app, client = await served(settings, engine, log_format="json")
    async with app.router.lifespan_context(app), client:
        await client.post("/generate", json={"z": [666, 0]}, headers=TRACED)
    (fault,) = [line for line in lines(capsys) if line["level"] == "ERROR"]
    assert (fault["logger"], fault["request_id"], fault["trace_id"]) == ("app.api.problems", "mine", TRACE)
    assert "RuntimeError: this z breaks the model" in fault["exception"]


def test_every_logger_speaks_json_once_and_warnings_too(settings, capsys):
    for _ in range(2):
        logs.configure(settings.model_copy(update={"log_format": "json"}))
    logging.getLogger("uvicorn.error").info("Started\nserver process [%d]", 7)
    logging.getLogger("some.library").error("é\u2028")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logs.configure(settings.model_copy(update={"log_format": "json"}))
        warnings.warn("careful", UserWarning, stacklevel=1)
    written = capsys.readouterr().err
    assert written.isascii()
    found = [json.loads(line) for line in written.splitlines()]
    assert [line["logger"] for line in found] == ["uvicorn.error", "some.library", "py.warnings"]
    assert found[0]["message"] == "Started\nserver process [7]"
    assert found[1]["message"] == "é\u2028"
