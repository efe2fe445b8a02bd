"""The files as Prometheus' own checker reads them, and when alerts fire and stop."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from stackctl.core.apps.observability.alerts import list_alerts, render_alerts
from stackctl.core.apps.observability.prometheus import Scraping, render_prometheus
from tests.programs import require_program

ALERTS = list_alerts(10)


def run_promtool(folder: Path, *arguments: str) -> str:
    command = [require_program("promtool", "prometheus"), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "alerts.yml").write_text(render_alerts(ALERTS), encoding="utf-8")
    return tmp_path


def test_the_rules_are_rules(folder: Path) -> None:
    assert f"SUCCESS: {len(ALERTS)} rules found" in run_promtool(folder, "check", "rules", "alerts.yml")


@pytest.mark.parametrize("stack", ["ai-stack", "it's: a #name"])
def test_the_configuration_is_one_and_holds_no_key(folder: Path, stack: str) -> None:
    (folder / "a key").write_text("planted")
    scraping = Scraping(stack, "127.0.0.1:8000", str(folder / "a key"), "alerts.yml", {"gpus": "gpu-metrics:9101"})
    (folder / "prometheus.yml").write_text(render_prometheus(scraping), encoding="utf-8")
    run_promtool(folder, "check", "config", "prometheus.yml")
    document = yaml.safe_load((folder / "prometheus.yml").read_text(encoding="utf-8"))
    assert document["global"]["external_labels"] == {"stack": stack}
    assert "planted" not in (folder / "prometheus.yml").read_text(encoding="utf-8")


# Each a minute apart. Alert to: its series, the first minute in which it fires, a minute in which it does not any more.
COURSES: Mapping[str, tuple[Mapping[str, str], int, int]] = {
    "GatewayDown": ({'up{job="gateway"}': "1 0 0 0 0 1 1 1"}, 2, 5),
    "TargetLeftOut": ({'gateway_target_available{target="a"}': "1 0 0 0 0 0 1 1"}, 3, 6),
    "QueueLong": (
        {'gateway_requests_waiting{provider="a"}': "9 9 9 9 9 9 9 8 8", 'gateway_slots{provider="a"}': "4x8"},
        5,
        7,
    ),
    "GpuLost": ({"stack_gpus": "2 2 1 1 1 2 2"}, 3, 5),
    "DiskNearlyFull": (
        {"gateway_state_disk_free_bytes": "50 9 9 9 9 9 9 9 50 50", "gateway_state_disk_size_bytes": "100x9"},
        6,
        8,
    ),
    "KeyNearBudget": (
        {
            'gateway_key_limit_used{key="a",kind="budget"}': "50 90 91 91 0 0",
            'gateway_key_limit{key="a",kind="budget"}': "100x5",
        },
        2,
        4,
    ),
    "UsageNotWritten": ({"gateway_usage_records_waiting": "0 3 3 3 0 0"}, 2, 4),
    "UsageLost": ({"gateway_usage_records_lost_total": "0 0 5 5 5 5 5 5 5 5 5 5 5 5 5"}, 2, 13),
    "QueueFull": ({'gateway_failed_tries_total{target="a",outcome="queue_full"}': "0 0 5 5 5 5 5 5 5 5"}, 2, 8),
    "ModelFails": (
        {
            'gateway_requests_total{model="a",status="200"}': "0+1x3 3+9x20",
            'gateway_requests_total{model="a",status="502"}': "0+9x3 27+0x20",
        },
        3,
        9,
    ),
    "SlowFirstToken": (
        {
            'gateway_time_to_first_token_seconds_bucket{model="a",provider="p",le="10.0"}': "0x9 0+9x30",
            'gateway_time_to_first_token_seconds_bucket{model="a",provider="p",le="30.0"}': "0+5x9 45+9x30",
            'gateway_time_to_first_token_seconds_bucket{model="a",provider="p",le="+Inf"}': "0+5x9 45+9x30",
        },
        6,
        20,
    ),
}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_when_it_fires_and_when_it_stops(folder: Path, alert: Any) -> None:
    series, first, after = COURSES[alert.name]
    minutes = {first - 1: False, first: True, after: False}
    checks = [
        {"eval_time": f"{minute}m", "expr": f'count(ALERTS{{alertname="{alert.name}",alertstate="firing"}})',
         "exp_samples": [{"labels": "{}", "value": 1}] if fires else []}
        for minute, fires in minutes.items()
    ]  # fmt: skip
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": checks,
    }
    document = {"rule_files": ["alerts.yml"], "evaluation_interval": "1m", "tests": [test]}
    (folder / "test.yml").write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    run_promtool(folder, "test", "rules", "test.yml")
