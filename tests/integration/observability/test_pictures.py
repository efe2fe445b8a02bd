"""Every query of the dashboard and every alert at a real Prometheus that watches a real gateway."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from stackctl.core.apps.observability.alerts import list_alerts
from stackctl.core.apps.observability.panels import ROWS, SPAN
from tests.integration.observability.watched_gateway import FIRST_TOKEN_S, Watched, keep_asking, watch_gateway
from tests.waiting import wait_for

ALERTS = {alert.name: alert for alert in list_alerts(FIRST_TOKEN_S)}
QUERIES = [query.expression for row in ROWS for panel in row.panels for query in panel.queries]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with watch_gateway(tmp_path_factory.mktemp("watched")) as running:
        yield running


def holds(watched: Watched, name: str) -> bool:
    return bool(watched.prometheus.query(ALERTS[name].expression))


def test_every_panel_shows_what_happens_and_no_alert_holds(watched: Watched) -> None:
    with keep_asking(watched):
        for expression in QUERIES:
            wait_for(partial(watched.prometheus.query, expression.replace(SPAN, "20s")), f"data of {expression}")
        wait_for(lambda: (watched.prometheus.read("sum(rate(gateway_tokens_total[20s]))") or 0) > 0, "tokens")
        assert watched.prometheus.query('gateway_key_limit_used{key="ada",kind="budget"} > 0')
        (job,) = watched.prometheus.query('up{job="gateway"}')
        assert job["value"][1] == "1"
    # The target that always fails is left out, as it should be.
    quiet = [name for name in ALERTS if name != "TargetLeftOut"]
    assert [name for name in quiet if holds(watched, name)] == []


def test_a_target_that_keeps_failing(watched: Watched) -> None:
    def ask() -> bool:
        watched.ask("first")
        return holds(watched, "TargetLeftOut")

    wait_for(ask, "the alert")
    (series,) = watched.prometheus.query(ALERTS["TargetLeftOut"].expression)
    assert series["metric"]["target"] == "broken"


def test_a_model_that_gives_no_answers(watched: Watched) -> None:
    def ask() -> bool:
        watched.ask("lost")
        return holds(watched, "ModelFails")

    wait_for(ask, "the alert")
    (series,) = watched.prometheus.query(ALERTS["ModelFails"].expression)
    assert (series["metric"]["model"], float(series["value"][1])) == ("lost", 1.0)


def test_answers_that_begin_late(watched: Watched) -> None:
    def ask() -> bool:
        assert watched.ask("slow") == 200
        return holds(watched, "SlowFirstToken")

    wait_for(ask, "the alert")
    (series,) = watched.prometheus.query(ALERTS["SlowFirstToken"].expression)
    assert series["metric"]["model"] == "slow"


def test_a_queue_that_is_long_and_then_full(watched: Watched) -> None:
    def fill() -> bool:
        with watched.hold_requests(4):
            wait_for(partial(holds, watched, "QueueLong"), "the alert of a long queue")
        return holds(watched, "QueueFull")

    wait_for(fill, "the alert of a full queue")
    wait_for(lambda: not holds(watched, "QueueLong"), "the end of the queue")
    wait_for(lambda: "QueueFull" in watched.prometheus.list_firing(), "it fires by itself")


def test_a_key_that_has_nearly_used_its_budget(watched: Watched) -> None:
    key = watched.order(do="keys.create", name="eve", budget_tokens=10_000)["secret"]
    wait_for(lambda: watched.ask(key=key) == 200, "the key to be known")
    wait_for(lambda: watched.prometheus.query('gateway_key_limit_used{key="eve"} > 0'), "what it used")
    assert not holds(watched, "KeyNearBudget")
    used = watched.prometheus.read('gateway_key_limit_used{key="eve",kind="budget"}')
    assert used
    watched.order(do="keys.change", name="eve", budget_tokens=int(used * 1.05))
    wait_for(partial(holds, watched, "KeyNearBudget"), "the alert")
    wait_for(lambda: "KeyNearBudget" in watched.prometheus.list_firing(), "it fires by itself")


def test_a_disk_that_is_nearly_full(watched: Watched) -> None:
    watched.page.update({"gateway_state_disk_free_bytes": "20", "gateway_state_disk_size_bytes": "100"})
    wait_for(partial(watched.prometheus.query, 'gateway_state_disk_free_bytes{job="machine"}'), "the page")
    assert not holds(watched, "DiskNearlyFull")
    watched.page["gateway_state_disk_free_bytes"] = "9"
    wait_for(partial(holds, watched, "DiskNearlyFull"), "the alert")
    watched.page.clear()


def test_a_gpu_that_is_gone(watched: Watched) -> None:
    wait_for(lambda: watched.prometheus.read("stack_gpus") == 2, "both GPUs")
    assert not holds(watched, "GpuLost")
    watched.gpus.write_text(watched.gpus.read_text().splitlines()[0] + "\n")
    wait_for(partial(holds, watched, "GpuLost"), "the alert")
    assert watched.prometheus.read("stack_gpu_memory_bytes") == 81559 * 1024**2
    watched.break_driver()
    wait_for(lambda: watched.prometheus.read("stack_gpus") == 0, "a driver that fails to have no GPUs")


def test_usage_that_cannot_be_written_and_is_then_lost(watched: Watched) -> None:
    watched.rename_table("usage", "usage_away")
    for _ in range(20):
        watched.ask()
    wait_for(partial(holds, watched, "UsageNotWritten"), "the alert")
    assert not holds(watched, "UsageLost")
    watched.end_workers()
    wait_for(partial(holds, watched, "UsageLost"), "the alert of the loss")
    watched.rename_table("usage_away", "usage")
    wait_for(lambda: not holds(watched, "UsageNotWritten"), "it is written again")


def test_a_gateway_that_is_gone(watched: Watched) -> None:
    watched.stop()
    wait_for(partial(holds, watched, "GatewayDown"), "the alert")


def test_every_alert_was_tried_here() -> None:
    tried = {"GatewayDown", "ModelFails", "TargetLeftOut", "SlowFirstToken", "QueueLong", "QueueFull", "GpuLost",
             "DiskNearlyFull", "UsageNotWritten", "UsageLost", "KeyNearBudget"}  # fmt: skip
    assert set(ALERTS) == tried
