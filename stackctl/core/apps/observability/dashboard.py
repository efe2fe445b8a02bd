"""The dashboard as Grafana reads it: panels laid out from top to bottom, their queries at one data source. Pure.

Source: Grafana, "Dashboard JSON model", schema version 39.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from stackctl.core.apps.observability.panels import Panel, Row

DATA_SOURCE: Final = {"type": "prometheus", "uid": "stack-prometheus"}
DASHBOARD_UID: Final = "stack-gateway"
_COLUMNS = 24
_LAST = {"calcs": ["lastNotNull"], "fields": "", "values": False}


def build_dashboard(rows: Sequence[Row]) -> dict[str, Any]:
    """The dashboard; panels that do not fit beside the others begin a new line."""
    panels: list[dict[str, Any]] = []
    top = 0
    for row in rows:
        place = {"h": 1, "w": _COLUMNS, "x": 0, "y": top}
        panels.append({"id": len(panels) + 1, "type": "row", "title": row.title, "gridPos": place, "panels": []})
        top, left = top + 1, 0
        for panel in row.panels:
            if left + panel.width > _COLUMNS:
                top, left = top + row.height, 0
            place = {"h": row.height, "w": panel.width, "x": left, "y": top}
            panels.append({"id": len(panels) + 1, "gridPos": place, **_build_panel(panel)})
            left += panel.width
        top += row.height
    return {
        "uid": DASHBOARD_UID,
        "title": "AI stack",
        "tags": ["ai-stack"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "templating": {"list": []},
        "panels": panels,
    }


def render_dashboard(rows: Sequence[Row]) -> str:
    """The same as JSON."""
    return json.dumps(build_dashboard(rows), indent=1) + "\n"


def _build_panel(panel: Panel) -> dict[str, Any]:
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATA_SOURCE,
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": DATA_SOURCE,
                "expr": query.expression,
                "legendFormat": query.legend or "__auto",
                "instant": panel.kind != "timeseries",
                "range": panel.kind == "timeseries",
            }
            for number, query in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": _choose_field(panel), "overrides": []},
        "options": _choose_options(panel),
    }


def _choose_field(panel: Panel) -> dict[str, Any]:
    field: dict[str, Any] = {"unit": panel.unit}
    if panel.kind == "bargauge":
        steps = [{"color": "green", "value": None}, {"color": "orange", "value": 0.75}, {"color": "red", "value": 0.9}]
        field |= {"min": 0, "max": 1, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.kind == "timeseries":
        field |= {"min": 0, "custom": {"lineWidth": 1, "fillOpacity": 8, "showPoints": "never"}}
    return field


def _choose_options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "timeseries":
        legend = {"displayMode": "list", "placement": "bottom", "showLegend": True}
        return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
    options: dict[str, Any] = {"reduceOptions": _LAST, "orientation": "auto"}
    if panel.kind == "bargauge":
        return {**options, "orientation": "horizontal", "displayMode": "basic"}
    return {**options, "colorMode": "value", "graphMode": "none", "textMode": "value"}
