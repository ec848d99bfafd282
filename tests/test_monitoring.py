"""The monitoring profile: what it draws exists, and it asks where the service answers."""

import json
import re
from typing import Any

import pytest
import yaml

from app.telemetry.metrics import Metrics
from tests.support.paths import ROOT

DEPLOY = ROOT / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "digit-vae.json").read_text())
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = {name: COMPOSE["services"][name] for name in ("prometheus", "grafana")}
NAME = re.compile(r"\bdigit_vae_\w+")


def provisioned(path: str) -> Any:
    return yaml.safe_load((DEPLOY / "grafana" / "provisioning" / path).read_text())


def told() -> set[str]:
    """The names at /metrics, once every kind of thing was counted."""
    metrics = Metrics(["/encode"])
    metrics.request("/encode", 200, 0.001)
    metrics.batch(1, [0.1], 0.1)
    return {line.split("{")[0].split(" ")[0] for line in metrics.text().splitlines() if not line.startswith("#")}


EXPRESSIONS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
VARIABLES = [variable["query"]["query"] for variable in DASHBOARD["templating"]["list"]]


@pytest.mark.parametrize("expression", [*EXPRESSIONS, *VARIABLES])
def test_what_the_dashboard_asks_for_is_at_metrics(expression):
    names = set(NAME.findall(expression))
    assert names
    assert names <= told()
    assert expression.count("(") == expression.count(")")
    assert all(
        name.endswith(("_total", "_bucket", "_sum", "_count")) for name in re.findall(r"rate\((\w+)", expression)
    )


def test_every_metric_is_on_the_dashboard_and_in_the_document():
    drawn = {re.sub(r"_(bucket|sum|count)$", "", name) for text in EXPRESSIONS for name in NAME.findall(text)}
    declared = {line.split()[2] for line in Metrics([]).text().splitlines() if line.startswith("# TYPE")}
    assert declared == drawn
    document = (ROOT / "docs" / "observability.md").read_text()
    assert not [name for name in declared if f"`{name}`" not in document]


def test_panels_do_not_overlap_and_have_the_datasource_that_is_provisioned():
    (datasource,) = provisioned("datasources/prometheus.yml")["datasources"]
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        mine = {(at["x"] + dx, at["y"] + dy) for dx in range(at["w"]) for dy in range(at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not mine & cells
        cells |= mine
        assert panel["description"]
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {datasource["uid"]}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_prometheus_asks_the_servers_at_their_port_and_grafana_asks_prometheus():
    (job,) = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    for server in ("gpu", "cpu"):
        service = COMPOSE["services"][server]
        assert service["networks"]["default"]["aliases"] == found["names"]
        assert service["ports"][0].endswith(f":{found['port']}")
    (datasource,) = provisioned("datasources/prometheus.yml")["datasources"]
    assert datasource["url"] == "http://prometheus:9090"


def test_dashboards_are_mounted_where_grafana_looks():
    (provider,) = provisioned("dashboards/digit-vae.yml")["providers"]
    mounted = dict(volume.removesuffix(":ro").split(":") for volume in SERVICES["grafana"]["volumes"])
    assert mounted["./deploy/grafana/dashboards"] == provider["options"]["path"]
    assert all((ROOT / source).exists() for source in mounted if source.startswith("."))


@pytest.mark.parametrize("name", SERVICES)
def test_the_monitors_are_confined_as_the_others_are_and_pinned(name):
    service, server = SERVICES[name], COMPOSE["services"]["cpu"]
    assert service["profiles"] == ["monitoring"]
    assert re.fullmatch(r"[\w/]+:v?\d+\.\d+\.\d+", service["image"])
    for line in ("read_only", "cap_drop", "security_opt", "pids_limit", "init", "tmpfs", "logging", "restart"):
        assert service[line] == server[line]
    assert service["mem_limit"] == service["memswap_limit"]
    assert all(volume.endswith(":ro") for volume in service["volumes"] if volume.startswith("."))
    assert all("127.0.0.1" in port for port in service.get("ports", []))
