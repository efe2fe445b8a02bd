"""The app ``observability`` as a process: Debian's Prometheus, started and asked by commands that a person gives."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from stackctl.core.apps.observability.alerts import list_alerts
from tests.integration.app_site import find_result, run_app_site
from tests.integration.observability.prometheus_server import PrometheusServer
from tests.integration.stack_site import Site
from tests.ports import claim_ports
from tests.processes import is_alive, list_listening
from tests.programs import require_program
from tests.waiting import wait_for

LOOPBACK = "0100007F"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    require_program("prometheus", "prometheus")
    port, gpu_port, *_ = claim_ports()
    settings = {"PROMETHEUS_PORT": str(port), "GPU_METRICS_PORT": str(gpu_port)}
    with run_app_site(tmp_path_factory.mktemp("it's: a [site]"), "observability", **settings) as site:
        yield site


def find_server(site: Site) -> PrometheusServer:
    return PrometheusServer(f"http://127.0.0.1:{site.settings['PROMETHEUS_PORT']}")


def test_it_watches_the_gateway_with_the_admin_key_and_listens_on_loopback_alone(site: Site) -> None:
    assert find_result(site, "app", "prometheus") == ("ok", "answers queries")
    server = find_server(site)
    wait_for(lambda: server.read('up{job="gateway"}') == 1, "the gateway is asked")
    assert server.query("gateway_info")
    assert {address for address, _ in list_listening([site.find_pids()["prometheus"]])} == {LOOPBACK}
    rules = httpx.get(f"{server.url}/api/v1/rules", timeout=60).json()["data"]["groups"][0]["rules"]
    assert [rule["name"] for rule in rules] == [alert.name for alert in list_alerts(10)]
    assert {rule["health"] for rule in rules} <= {"ok", "unknown"}


def test_the_key_stands_in_files_of_its_owner_alone(site: Site) -> None:
    key = site.settings["GATEWAY_ADMIN_KEY"].encode()
    holders = {path for path in site.path.rglob("*") if path.is_file() and key in path.read_bytes()}
    assert {path.name for path in holders} == {".env", "secrets.json", "gateway-admin-key"}
    assert {path.stat().st_mode & 0o777 for path in holders} == {0o600}
    pid = site.find_pids()["prometheus"]
    assert key not in Path(f"/proc/{pid}/environ").read_bytes()
    for process in site.list_processes():
        assert key not in Path(f"/proc/{process}/cmdline").read_bytes()
    page = httpx.get(f"{find_server(site).url}/api/v1/status/config", timeout=60).text
    assert key.decode() not in page


def test_up_says_that_grafana_is_not_run_and_writes_its_files(site: Site) -> None:
    said = site.run("up").stderr
    assert "Grafana is not run" in said
    rendered = site.state / "rendered"
    assert {path.name for path in rendered.glob("grafana-*")} == {
        "grafana-dashboard.json", "grafana-dashboards.yml", "grafana-data-source.yml"
    }  # fmt: skip
    assert set(site.find_pids()) == {
        "api-gateway", "inference-chat", "inference-embed", "gpu-metrics", "prometheus"
    }  # fmt: skip


def test_gpus_are_looked_at(site: Site) -> None:
    assert find_result(site, "app", "gpu-metrics") == ("ok", "GPUs that answer: 0")
    server = find_server(site)
    assert wait_for(lambda: server.query("stack_gpus"), "the GPUs")
    assert {address for address, _ in list_listening([site.find_pids()["gpu-metrics"]])} == {LOOPBACK}


def test_a_frozen_one_is_said_to_be(site: Site) -> None:
    pid = site.find_pids()["prometheus"]
    os.kill(pid, signal.SIGSTOP)
    try:
        assert find_result(site, "app", "prometheus") == ("failed", "no answer to a query within 4 s")
    finally:
        os.kill(pid, signal.SIGCONT)


def test_what_it_saw_survives_a_kill_and_a_stop(site: Site) -> None:
    server = find_server(site)
    wait_for(lambda: server.query("gateway_info"), "something that it saw")
    pid = site.find_pids()["prometheus"]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: site.find_pids().get("prometheus") not in (0, pid, None), "another process")
    site.run("down")
    site.run("up")
    wait_for(lambda: server.query("count_over_time(gateway_info[10m]) > 1"), "what it saw before")


def test_only_what_changed_is_restarted(site: Site) -> None:
    before = site.find_pids()
    site.configure(ALERT_FIRST_TOKEN_S="30")
    site.run("up")
    after = site.find_pids()
    assert {name for name, pid in after.items() if before[name] != pid} == {"prometheus"}
    rules = httpx.get(f"{find_server(site).url}/api/v1/rules", timeout=60).text
    assert "\\u003e 30" in rules
    site.configure(STACK_APPS="")
    site.run("up")
    assert "prometheus" not in site.find_pids()
    assert not is_alive(after["prometheus"])
