"""The access line: what it says, and that it is off unless asked for."""

from datetime import UTC, datetime

import pytest

from app.main import create_app
from app.telemetry.access_log import AccessLog
from tests.app.telemetry.test_logs import TRACE, TRACED, lines, served

pytestmark = pytest.mark.usefixtures("loggers_as_they_were")

Z = {"z": [0.5, -0.5]}


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


@pytest.mark.parametrize(
    ("log_format", "access_log", "count"),
    [("text", None, 0), ("text", False, 0), ("text", True, 1), ("json", None, 1), ("json", False, 0)],
)
async def test_the_access_line_is_a_setting_of_its_own(settings, engine, caplog, log_format, access_log, count):
    app, client = await served(settings, engine, log_format=log_format, access_log=access_log, log_level="ERROR")
    async with app.router.lifespan_context(app), client:
        await client.get("/livez")
    assert len([each for each in caplog.records if each.name == "app.telemetry.access_log"]) == count


def test_with_the_access_line_off_there_is_no_layer_for_it(settings, engine):
    for access_log in (None, True):
        app = create_app(settings.model_copy(update={"access_log": access_log}), lambda stored, settings: engine)
        assert (AccessLog in [layer.cls for layer in app.layers]) == bool(access_log)
