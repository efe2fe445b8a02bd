"""What Grafana is given at its start: the data source, and where the dashboard lies. Pure.

Source: Grafana, "Provision Grafana", data sources and dashboards.
"""

from __future__ import annotations

from typing import Final

import yaml

from stackctl.core.apps.observability.dashboard import DATA_SOURCE

# A variable of Grafana's own process, so that the file is right wherever Prometheus listens.
URL_VARIABLE: Final = "PROMETHEUS_URL"
DASHBOARDS_FOLDER: Final = "/etc/grafana/dashboards"


def render_data_source() -> str:
    """The one data source, which nobody changes by hand."""
    source = {
        "name": "Prometheus",
        **DATA_SOURCE,
        "access": "proxy",
        "url": f"${URL_VARIABLE}",
        "isDefault": True,
        "editable": False,
        "jsonData": {"timeInterval": "15s", "httpMethod": "POST"},
    }
    return yaml.safe_dump({"apiVersion": 1, "datasources": [source]}, sort_keys=False)


def render_provider() -> str:
    """Where Grafana finds the dashboard; it shows a changed file within a minute."""
    provider = {
        "name": "stack",
        "type": "file",
        "disableDeletion": True,
        "allowUiUpdates": False,
        "updateIntervalSeconds": 60,
        "options": {"path": DASHBOARDS_FOLDER},
    }
    return yaml.safe_dump({"apiVersion": 1, "providers": [provider]}, sort_keys=False)
