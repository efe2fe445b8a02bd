"""The dashboard's JSON: what Grafana needs of it, and that nothing lies over something else."""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.apps.observability.alerts import list_alerts
from stackctl.core.apps.observability.dashboard import DATA_SOURCE, build_dashboard, render_dashboard
from stackctl.core.apps.observability.panels import ROWS, Panel, Query, Row
from tests.fakes import CHECKOUT

DASHBOARD = json.loads(render_dashboard(ROWS))
# Of those that Grafana names in its field options.
UNITS = {"reqps", "s", "percentunit", "bytes", "short", "none"}
KINDS = {"row", "stat", "timeseries", "bargauge"}


def cells(place: dict[str, int]) -> set[tuple[int, int]]:
    return {
        (x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])
    }


def check_layout(dashboard: dict[str, Any]) -> None:
    places = [panel["gridPos"] for panel in dashboard["panels"]]
    assert all(place["x"] >= 0 and place["x"] + place["w"] <= 24 and place["h"] > 0 for place in places)
    assert not any(cells(one) & cells(other) for one, other in combinations(places, 2))
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))


def test_panels_have_their_own_ids_and_places() -> None:
    check_layout(DASHBOARD)
    assert all(sum(panel.width for panel in row.panels) % 24 == 0 for row in ROWS), "no row ends in a hole"


PANELS = st.builds(Panel, st.just("t"), st.just("s"), st.just((Query("up", ""),)), width=st.integers(1, 24))


@given(st.lists(st.builds(Row, st.just("r"), st.lists(PANELS, max_size=9).map(tuple), st.integers(1, 12)), max_size=5))
def test_any_panels_are_laid_out_beside_each_other(rows: list[Row]) -> None:
    check_layout(build_dashboard(rows))


def test_every_panel_is_of_a_known_kind_and_asks_the_provisioned_data_source() -> None:
    assert DASHBOARD["schemaVersion"] == 39
    assert len(DASHBOARD["uid"]) <= 40
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    assert {panel["type"] for panel in DASHBOARD["panels"]} <= KINDS
    titles = [panel["title"] for panel in panels]
    assert all(titles)
    for panel in panels:
        assert panel["datasource"] == DATA_SOURCE
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
        assert [target["refId"] for target in panel["targets"]] == ["A", "B", "C"][: len(panel["targets"])]
        for target in panel["targets"]:
            assert target["datasource"] == DATA_SOURCE
            assert target["expr"]
            assert target["instant"] is not target["range"]
            # What a legend names is what the query leaves.
            named = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            kept = re.search(r"by \(([\w, ]+)\)", target["expr"])
            assert named <= (set(kept[1].split(", ")) if kept else {"provider", "target", "kind", "key", "gpu"})


def test_alerts_have_their_own_names_and_say_what_to_do() -> None:
    alerts = list_alerts(10)
    assert len({alert.name for alert in alerts}) == len(alerts)
    assert all(alert.severity in ("critical", "warning") for alert in alerts)
    assert all(alert.summary.endswith(".") and alert.advice for alert in alerts)
    guide = (CHECKOUT / "docs" / "guides" / "metrics.md").read_text(encoding="utf-8")
    assert [alert.name for alert in alerts if f"`{alert.name}`" not in guide] == []
    assert "> 10" in next(alert.expression for alert in alerts if alert.name == "SlowFirstToken")
