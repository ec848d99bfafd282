"""Log lines as JSON, and the access line: what they say, and that they are off unless asked for."""

from __future__ import annotations

import json
import logging
import warnings
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from app.main import create_app
from app.settings import Settings
from app.telemetry import logs

Z = {"z": [0.5, -0.5]}
TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACED = {"x-request-id": "mine", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
NAMES = ("app", "app.telemetry.access_log", *logs.UVICORNS)


@pytest.fixture(autouse=True)
def loggers_as_they_were():
    kept = [(log, log.handlers[:], log.level, log.propagate) for log in map(logging.getLogger, NAMES)]
    yield
    logging.captureWarnings(False)
    root = logging.getLogger()
    root.handlers[:] = [each for each in root.handlers if not isinstance(each.formatter, logs.JsonFormatter)]
    for log, handlers, level, propagate in kept:
        log.handlers[:] = handlers
        log.setLevel(level)
        log.propagate = propagate


def lines(capsys) -> list[dict[str, Any]]:
    """What was written to standard error so far, each line of it JSON."""
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


async def served(settings: Settings, engine, **changes):
    """A client of a service with these settings, and what must be left at the end."""
    app = create_app(settings.model_copy(update=changes), lambda stored, settings: engine)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=("192.0.2.7", 5))
    return app, httpx.AsyncClient(transport=transport, base_url="http://service")


async def test_a_request_is_a_line_of_json_with_all_that_is_known(settings, engine, capsys):
    app, client = await served(settings, engine, log_format="json")
    async with app.router.lifespan_context(app), client:
        answer = await client.post("/generate", json=Z, headers=TRACED)
    (line,) = [line for line in lines(capsys) if line["logger"] == "app.telemetry.access_log"]
    assert datetime.fromisoformat(line.pop("time")).tzinfo == UTC
    assert 0 < line.pop("duration_s") < 5
    assert "192.0.2.7 POST /generate 200" in line.pop("message")
    assert line == {
        "level": "INFO",
        "logger": "app.telemetry.access_log",
        "request_id": "mine",
        "trace_id": TRACE,
        "method": "POST",
        "path": "/generate",
        "route": "/generate",
        "status": 200,
        "bytes": len(answer.content),
        "model_version": 1,
        "client": "192.0.2.7",
    }


@pytest.mark.parametrize(
    ("path", "route", "status"),
    [
        ("/v2/models/encoder/ready", "/v2/models/{name}/ready", 200),
        ("/generate", "/generate", 405),
        ("/nowhere/%0d%0aINFO: forged", None, 404),
    ],
)
async def test_the_route_is_as_declared_and_no_line_can_be_forged(settings, engine, capsys, path, route, status):
    app, client = await served(settings, engine, log_format="json")
    async with app.router.lifespan_context(app), client:
        await client.get(path)
    line = lines(capsys)[-1]
    assert (line.get("route"), line["status"]) == (route, status)
    assert "\n" not in line["message"]


async def test_lines_about_a_request_name_it_and_have_their_traceback(settings, engine, capsys):
    app, client = await served(settings, engine, log_format="json")
    async with app.router.lifespan_context(app), client:
        await client.post("/generate", json={"z": [666, 0]}, headers=TRACED)
    (fault,) = [line for line in lines(capsys) if line["level"] == "ERROR"]
    assert (fault["logger"], fault["request_id"], fault["trace_id"]) == ("app.api.problems", "mine", TRACE)
    assert "RuntimeError: this z breaks the model" in fault["exception"]


@pytest.mark.parametrize(
    ("log_format", "access_log", "count"),
    [("text", None, 0), ("text", False, 0), ("text", True, 1), ("json", None, 1), ("json", False, 0)],
)
async def test_the_access_line_is_a_setting_of_its_own(settings, engine, caplog, log_format, access_log, count):
    app, client = await served(settings, engine, log_format=log_format, access_log=access_log, log_level="ERROR")
    async with app.router.lifespan_context(app), client:
        await client.get("/livez")
    assert len([each for each in caplog.records if each.name == "app.telemetry.access_log"]) == count


def test_with_the_access_line_off_the_edge_is_the_outermost_layer(settings, engine):
    for access_log, outermost in ((None, "AdmissionLimit"), (True, "AccessLog")):
        app = create_app(settings.model_copy(update={"access_log": access_log}), lambda stored, settings: engine)
        assert type(vars(app)["edge"]).__name__ == outermost


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


def test_the_format_is_text_unless_json_is_named(monkeypatch):
    assert (Settings().log_format, Settings().access_lines) == ("text", False)
    monkeypatch.setenv("VAE_LOG_FORMAT", "json")
    monkeypatch.setenv("VAE_ACCESS_LOG", "false")
    assert (Settings().log_format, Settings().access_lines) == ("json", False)
    monkeypatch.setenv("VAE_LOG_FORMAT", "yaml")
    with pytest.raises(ValueError, match="text"):
        Settings()
