"""What the counters say of a request that has ended, and that no label grows without end."""

from __future__ import annotations

import platform
import re
from pathlib import Path
from typing import Any

import pytest
from gateway.observe import metrics
from gateway.observe.present import Present
from gateway.observe.usage_rows import Record
from gateway.routing.breaker import Breaker
from gateway.settings import METRICS_FOLDER_VARIABLE
from prometheus_client.parser import text_string_to_metric_families

from tests.fakes import CHECKOUT

LINES = {"inference-chat": {"slots": 4, "leased": 3, "waiting": 2}}
LIMITS = {"key": {"ada": [("requests", 20, 3), ("budget", 1000, 950)]}, "target": {"mine": [("parallel", 2, 2)]}}
PRESENT = Present(LINES, LIMITS, (5, 50), workers=3, models=2)


def build_record(**changes: Any) -> Record:
    fields: dict[str, Any] = {
        "ended_at": 1.0, "request": "r", "key": "ada", "model": "mine", "format": "chat", "provider": "near",
        "target": "mine", "tried": (), "status": 200, "outcome": "ok",
        "counted": ({"prompt_tokens": 9, "completion_tokens": 5},), "pieces": 5,
        "queue_s": 0.3, "first_s": 1.0, "duration_s": 3.0,
    }  # fmt: skip
    return Record(**{**fields, **changes})


def read(name: str, **labels: str) -> float:
    """The value of one series; 0 where it is not there."""
    for row in metrics.render_metrics(PRESENT).decode().splitlines():
        found = re.fullmatch(rf"{name}(?:\{{(.*)\}})? (\S+)", row)
        if found and dict(re.findall(r'(\w+)="([^"]*)"', found[1] or "")) == labels:
            return float(found[2])
    return 0.0


def test_an_answer_is_counted_for_its_key_and_its_provider() -> None:
    names = {"model": "mine", "provider": "near"}
    before = read("gateway_time_per_token_seconds_sum", **names)
    metrics.count_request(build_record(key="one"))
    assert read("gateway_key_requests_total", key="one", outcome="ok") == 1
    assert read("gateway_key_tokens_total", key="one", kind="prompt") == 9
    assert read("gateway_key_tokens_total", key="one", kind="completion") == 5
    assert read("gateway_time_per_token_seconds_sum", **names) == pytest.approx(before + 0.5), "2 s for 4 more tokens"
    assert read("gateway_time_to_first_token_seconds_count", **names) >= 1
    assert read("gateway_queue_seconds_bucket", provider="near", le="0.25") == 0
    assert read("gateway_queue_seconds_bucket", provider="near", le="0.5") >= 1


def test_a_fallback_is_counted_with_what_failed_before_it() -> None:
    tried = (("first", "upstream_error"), ("first", "upstream_timeout"))
    metrics.count_request(build_record(model="both", target="second", tried=tried))
    assert read("gateway_failed_tries_total", target="first", outcome="upstream_error") == 1
    assert read("gateway_failed_tries_total", target="first", outcome="upstream_timeout") == 1
    assert read("gateway_fallbacks_total", model="both", target="second") == 1


def test_a_retry_is_no_fallback() -> None:
    metrics.count_request(build_record(model="alone", target="alone", tried=(("alone", "upstream_error"),)))
    assert read("gateway_fallbacks_total", model="alone", target="alone") == 0


def test_a_refused_request_is_counted_for_its_key_and_no_provider() -> None:
    metrics.count_request(
        build_record(key="two", provider="", target="", status=429, outcome="rate_limit_exceeded", counted=())
    )
    assert read("gateway_key_requests_total", key="two", outcome="rate_limit_exceeded") == 1
    assert read("gateway_queue_seconds_count", provider="") == 0


@pytest.mark.parametrize("count", [None, "5", -3, True, 2.5])
def test_what_a_server_counts_wrongly_is_left_out(count: object) -> None:
    before = read("gateway_key_tokens_total", key="three", kind="completion")
    usage = {"prompt_tokens": 1, "completion_tokens": count}
    metrics.count_request(build_record(key="three", counted=(usage,)))
    assert read("gateway_key_tokens_total", key="three", kind="completion") == before


def test_more_keys_than_have_series_of_their_own_share_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MAX_KEYS", 2)
    monkeypatch.setattr(metrics, "_keys", set())
    for name in ("a", "b", "c", "d", "a"):
        metrics.count_request(build_record(key=f"many-{name}"))
    assert read("gateway_key_requests_total", key="many-a", outcome="ok") == 2
    assert read("gateway_key_requests_total", key=metrics.OTHER_KEYS, outcome="ok") == 2
    assert read("gateway_key_requests_total", key="many-c", outcome="ok") == 0


def test_the_slots_are_those_of_now() -> None:
    assert read("gateway_slots", provider="inference-chat") == 4
    assert read("gateway_slots_leased", provider="inference-chat") == 3
    assert read("gateway_requests_waiting", provider="inference-chat") == 2


def test_how_near_each_is_to_its_limits() -> None:
    assert read("gateway_key_limit", key="ada", kind="requests") == 20
    assert read("gateway_key_limit_used", key="ada", kind="requests") == 3
    assert read("gateway_key_limit_used", key="ada", kind="budget") == 950
    assert read("gateway_target_limit", target="mine", kind="parallel") == 2


def test_the_state_s_disk_and_what_the_gateway_is() -> None:
    assert read("gateway_state_disk_free_bytes") == 5
    assert read("gateway_state_disk_size_bytes") == 50
    assert read("gateway_info", python=platform.python_version(), workers="3", models="2") == 1
    assert b"disk" not in metrics.render_metrics(Present({}))


def test_a_target_that_keeps_failing_is_shown_as_left_out_until_it_answers() -> None:
    breaker = Breaker()
    for _ in range(4):
        breaker.fail("shaky", "upstream_error")
    assert read("gateway_target_available", target="shaky") == 1
    breaker.fail("shaky", "upstream_error")
    assert read("gateway_target_available", target="shaky") == 0
    assert breaker.describe("shaky")["state"] == "left out"
    breaker.succeed("shaky")
    assert read("gateway_target_available", target="shaky") == 1


def test_prometheus_can_read_it_all() -> None:
    metrics.count_request(build_record(key='quoted "key"\\ of ünïcode'))
    families = list(text_string_to_metric_families(metrics.render_metrics(PRESENT).decode()))
    names = [family.name for family in families]
    assert len(names) == len(set(names))
    keys = {sample.labels.get("key") for family in families for sample in family.samples}
    assert 'quoted "key"\\ of ünïcode' in keys


def test_the_guide_names_every_series() -> None:
    guide = (CHECKOUT / "docs" / "guides" / "metrics.md").read_text(encoding="utf-8")
    families = text_string_to_metric_families(metrics.render_metrics(PRESENT).decode())
    ours = {family.name for family in families if re.match("gateway_(?!.*_created$)", family.name)}
    assert len(ours) > 20
    assert {name for name in ours if f"`{name}`" not in guide and f"`{name}_total`" not in guide} == set()


def test_a_file_that_a_worker_is_just_making_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(METRICS_FOLDER_VARIABLE, str(tmp_path))
    (tmp_path / "counter_1.db").touch()
    assert b"gateway_info" in metrics.render_metrics(PRESENT)
    assert metrics.count_unwritten() == (0, 0)
