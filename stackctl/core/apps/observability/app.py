"""The app ``observability``: Prometheus watches the gateway and knows when to alert, Grafana shows it. Pure.

Grafana is in no Debian: as processes of this machine Prometheus runs alone, with the files for a Grafana beside them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from stackctl.core.apps.agents import AGENTS
from stackctl.core.apps.app import App, AppPlaces, AppService, NeededProgram
from stackctl.core.apps.chat_api import CHAT_API
from stackctl.core.apps.observability.alerts import list_alerts, render_alerts
from stackctl.core.apps.observability.dashboard import render_dashboard
from stackctl.core.apps.observability.grafana import (
    DASHBOARDS_FOLDER,
    URL_VARIABLE,
    render_data_source,
    render_provider,
)
from stackctl.core.apps.observability.panels import ROWS
from stackctl.core.apps.observability.prometheus import Scraping, render_prometheus
from stackctl.core.apps.own_service import find_metrics
from stackctl.core.settings.places import find_gateway_place
from stackctl.core.settings.settings import split_names

if TYPE_CHECKING:
    from stackctl.core.settings.settings import Settings

PROMETHEUS, GRAFANA, GPU_METRICS = "prometheus", "grafana", "gpu-metrics"
ALERTS_FILE: Final = "prometheus-alerts.yml"
DASHBOARD_FILE: Final = "grafana-dashboard.json"
_SOURCE_FILE, _PROVIDER_FILE = "grafana-data-source.yml", "grafana-dashboards.yml"
# Of the container.
_FOLDER = "/etc/prometheus"
_CONFIG_FILES = {True: "prometheus.yml", False: "prometheus.process.yml"}

# The key is in a file of mode 0600 and in no variable of the program; nothing is changed over HTTP.
_PROMETHEUS_SCRIPT = """\
umask 077; mkdir -p "$PROMETHEUS_FOLDER" && printf %s "$GATEWAY_ADMIN_KEY" >"$PROMETHEUS_KEY_FILE" || exit 1
unset GATEWAY_ADMIN_KEY
exec prometheus --config.file="$PROMETHEUS_CONFIG" --storage.tsdb.path="$PROMETHEUS_FOLDER" \\
  --storage.tsdb.retention.time="$PROMETHEUS_DAYS"d --web.listen-address="$PROMETHEUS_ADDRESS:$PROMETHEUS_PORT" \\
  --web.external-url="http://127.0.0.1:$PROMETHEUS_PORT/" --log.level=warn"""
PROMETHEUS_PROBE = """\
answer=$(timeout 4 promtool query instant "http://127.0.0.1:$PROMETHEUS_PORT" 'vector(1)' 2>&1)
case "$answer" in
  "{} => 1 "*) echo "answers queries" ;;
  *) echo "${answer:-no answer to a query within 4 s}"; exit 1 ;;
esac"""
_GPU_SCRIPT = 'exec "$GPU_METRICS_PYTHON" -m gateway.gpus'
_GPU_PROBE = """\
"$GPU_METRICS_PYTHON" -I -S -c 'import os, sys, urllib.request as r
url = "http://127.0.0.1:" + os.environ["GPU_METRICS_PORT"]
page = r.build_opener(r.ProxyHandler({})).open(url, timeout=9).read().decode()
found = [line.split()[1] for line in page.splitlines() if line.startswith("stack_gpus ")]
print("GPUs that answer:", found[0].removesuffix(".0"))' 2>&1"""
_GRAFANA_SCRIPT = "exec /run.sh"
_GRAFANA_PROBE = """\
wget -q -Y off -T 4 -O /dev/null "http://127.0.0.1:$GF_SERVER_HTTP_PORT/api/health" || exit 1
echo "answers /api/health\""""
# It asks nobody outside, and is opened with its password alone.
_GRAFANA_SETTINGS: Mapping[str, str] = {
    "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
    "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
    "GF_ANALYTICS_REPORTING_ENABLED": "false",
    "GF_AUTH_ANONYMOUS_ENABLED": "false",
    "GF_NEWS_NEWS_FEED_ENABLED": "false",
    "GF_PLUGINS_PREINSTALL_DISABLED": "true",
    "GF_SECURITY_DISABLE_GRAVATAR": "true",
    "GF_SNAPSHOTS_EXTERNAL_ENABLED": "false",
    "GF_USERS_ALLOW_SIGN_UP": "false",
    "GF_USERS_DEFAULT_THEME": "system",
}


def render_files(settings: Settings, places: AppPlaces) -> Mapping[str, str]:
    """The files of both programs; Prometheus' configuration has a name of its own in each runtime."""
    return {
        _CONFIG_FILES[places.in_container]: _render_config(settings, places),
        ALERTS_FILE: render_alerts(list_alerts(settings.alert_first_token_s)),
        DASHBOARD_FILE: render_dashboard(ROWS),
        _SOURCE_FILE: render_data_source(),
        _PROVIDER_FILE: render_provider(),
    }


def _render_config(settings: Settings, places: AppPlaces) -> str:
    gateway = f"api-gateway:{settings.api_gateway_port}" if places.in_container else find_gateway_place(settings)
    alerts = _find_file(places, ALERTS_FILE)
    others = {GPU_METRICS: f"{places.choose_host(GPU_METRICS)}:{settings.gpu_metrics_port}"}
    chosen = split_names(settings.stack_apps)
    others |= {app.own: find_metrics(app.own, settings, places) for app in (CHAT_API, AGENTS) if app.name in chosen}
    return render_prometheus(Scraping(settings.stack_name, gateway, _find_key_file(places), alerts, others))


def _find_file(places: AppPlaces, name: str) -> str:
    return places.find_file(name, f"{_FOLDER}/{name}")


def _find_key_file(places: AppPlaces) -> str:
    # A container's /tmp is memory.
    folder = "/tmp" if places.in_container else places.choose_folder(PROMETHEUS, "")  # noqa: S108
    return f"{folder}/gateway-admin-key"


def build_services(settings: Settings, places: AppPlaces) -> tuple[AppService, ...]:
    """What looks at the GPUs, Prometheus, and Grafana where there are containers."""
    files = render_files(settings, places)
    grafana = (_build_grafana(settings, places, files),) if places.in_container else ()
    return (_build_gpu_metrics(settings, places), _build_prometheus(settings, places, files), *grafana)


def _build_gpu_metrics(settings: Settings, places: AppPlaces) -> AppService:
    source = {"GATEWAY_SOURCE_DIGEST": places.gateway_digest, "PYTHONPATH": places.gateway_source}
    return AppService(
        name=GPU_METRICS,
        port=settings.gpu_metrics_port,
        script=_GPU_SCRIPT,
        probe=_GPU_PROBE,
        environment={
            "GPU_METRICS_ADDRESS": places.listen_address,
            "GPU_METRICS_PORT": str(settings.gpu_metrics_port),
            "GPU_METRICS_PYTHON": places.gateway_python,
            **({} if places.in_container else source),
        },
        secrets={},
        image="",
        user="",
        folder="",
        sees_gpus=True,
        memory_bytes=128 << 20,
    )


def _build_prometheus(settings: Settings, places: AppPlaces, files: Mapping[str, str]) -> AppService:
    config = _CONFIG_FILES[places.in_container]
    folder = places.choose_folder(PROMETHEUS, "/prometheus")
    return AppService(
        name=PROMETHEUS,
        port=settings.prometheus_port,
        script=_PROMETHEUS_SCRIPT,
        probe=PROMETHEUS_PROBE,
        environment={
            "PROMETHEUS_ADDRESS": places.listen_address,
            "PROMETHEUS_CONFIG": _find_file(places, config),
            "PROMETHEUS_DAYS": str(settings.prometheus_days),
            "PROMETHEUS_DIGEST": _hash(files, (config, ALERTS_FILE)),
            "PROMETHEUS_FOLDER": folder,
            "PROMETHEUS_KEY_FILE": _find_key_file(places),
            "PROMETHEUS_PORT": str(settings.prometheus_port),
        },
        secrets={"GATEWAY_ADMIN_KEY": "GATEWAY_ADMIN_KEY"},
        image=settings.prometheus_image,
        user="65534:65534",
        folder=folder,
        files={name: f"{_FOLDER}/{name}" for name in (config, ALERTS_FILE)},
        is_published=True,
    )


def _build_grafana(settings: Settings, places: AppPlaces, files: Mapping[str, str]) -> AppService:
    url = f"http://{places.choose_host(PROMETHEUS)}:{settings.prometheus_port}"
    provisioning = "/etc/grafana/provisioning"
    mounted = {
        _SOURCE_FILE: f"{provisioning}/datasources/stack.yml",
        _PROVIDER_FILE: f"{provisioning}/dashboards/stack.yml",
        DASHBOARD_FILE: f"{DASHBOARDS_FOLDER}/stack.json",
    }
    return AppService(
        name=GRAFANA,
        port=settings.grafana_port,
        script=_GRAFANA_SCRIPT,
        probe=_GRAFANA_PROBE,
        environment={
            **_GRAFANA_SETTINGS,
            "GF_SERVER_HTTP_PORT": str(settings.grafana_port),
            "GRAFANA_DIGEST": _hash(files, mounted),
            URL_VARIABLE: url,
        },
        secrets={"GF_SECURITY_ADMIN_PASSWORD": "GRAFANA_PASSWORD"},
        image=settings.grafana_image,
        user="472:472",
        folder="/var/lib/grafana",
        files=mounted,
        is_published=True,
    )


def _hash(files: Mapping[str, str], names: Iterable[str]) -> str:
    """A digest by which a service is restarted when a file of its changes."""
    return hashlib.sha256("\0".join(files[name] for name in names).encode()).hexdigest()[:16]


OBSERVABILITY = App(
    name="observability",
    programs=(NeededProgram("prometheus", "prometheus"), NeededProgram("promtool", "prometheus")),
    images={PROMETHEUS: "PROMETHEUS_IMAGE", GRAFANA: "GRAFANA_IMAGE"},
    ports=("PROMETHEUS_PORT", "GPU_METRICS_PORT"),
    published=("PROMETHEUS_PORT", "GRAFANA_PORT"),
    build=build_services,
    render=render_files,
    as_processes=f"Grafana is not run there; its files are beside the others: {DASHBOARD_FILE}, {_SOURCE_FILE}",
)
