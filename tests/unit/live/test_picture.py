"""The live picture from two pages of metrics, and how a terminal is shown it."""

from __future__ import annotations

from dataclasses import astuple, replace
from typing import Any

import pytest

from stackctl.core.live.exposition import Scrape, parse_scrape
from stackctl.core.live.picture import KeyLoad, LimitUse, Picture, Speed, build_picture
from stackctl.core.live.show import MOST_ROWS, show_picture

BEFORE = """
gateway_requests_total{route="/v1/chat/completions",model="mine",status="200"} 10
gateway_requests_total{route="/metrics",model="",status="200"} 5
gateway_tokens_total{model="mine",kind="completion"} 1000
gateway_requests_in_progress 1
"""
AFTER = """
gateway_requests_total{route="/v1/chat/completions",model="mine",status="200"} 14
gateway_requests_total{route="/v1/messages",model="mine",status="502"} 1
gateway_requests_total{route="/v1/chat/completions",model="far",status="200"} 20
gateway_requests_total{route="/metrics",model="",status="200"} 6
gateway_tokens_total{model="mine",kind="completion"} 1200
gateway_tokens_total{model="mine",kind="prompt"} 40
gateway_requests_in_progress 4
gateway_time_to_first_token_seconds_bucket{model="mine",provider="near",le="0.1"} 2
gateway_time_to_first_token_seconds_bucket{model="mine",provider="near",le="1.0"} 4
gateway_time_to_first_token_seconds_bucket{model="mine",provider="near",le="+Inf"} 4
gateway_slots{provider="near"} 4
gateway_slots_leased{provider="near"} 3
gateway_requests_waiting{provider="near"} 2
gateway_queue_seconds_bucket{provider="near",le="0.1"} 0
gateway_queue_seconds_bucket{provider="near",le="1.0"} 4
gateway_queue_seconds_bucket{provider="near",le="+Inf"} 4
gateway_fallbacks_total{model="mine",target="second"} 3
gateway_failed_tries_total{target="first",outcome="upstream_error"} 3
gateway_target_available{target="first"} 0
gateway_key_requests_total{key="ada",outcome="ok"} 24
gateway_key_requests_total{key="ada",outcome="upstream_error"} 1
gateway_key_requests_total{key="bob",outcome="rate_limit_exceeded"} 7
gateway_key_tokens_total{key="ada",kind="prompt"} 40
gateway_key_tokens_total{key="ada",kind="completion"} 200
gateway_key_limit{key="ada",kind="requests"} 60
gateway_key_limit_used{key="ada",kind="requests"} 25
gateway_key_limit{key="ada",kind="budget"} 1000
gateway_key_limit_used{key="ada",kind="budget"} 950
gateway_usage_records_waiting 2
gateway_usage_records_lost_total 1
gateway_state_disk_free_bytes 1000
gateway_state_disk_size_bytes 100000
"""
HEALTH = {"targets": [{"model": "first", "provider": "near", "state": "ok", "last_error": "upstream_error"},
                      {"model": "second", "provider": "far", "state": "ok", "last_error": None}]}  # fmt: skip


@pytest.fixture
def picture() -> Picture:
    return build_picture(parse_scrape(BEFORE, 50.0), parse_scrape(AFTER, 60.0), HEALTH)


def test_the_whole_gateway(picture: Picture) -> None:
    assert picture.window_s == 10.0
    assert astuple(picture.speed) == pytest.approx((2.5, 4.0, 20.0, 0.1, 0.91))
    assert picture.in_progress == 3, "the look itself is none"
    assert picture.errors == {"rate_limit_exceeded": 7, "upstream_error": 1}
    assert (picture.records_waiting, picture.records_lost) == (2, 1)
    assert (picture.disk_free_bytes, picture.disk_size_bytes) == (1000, 100_000)


def test_engines_models_keys_and_targets(picture: Picture) -> None:
    (engine,) = picture.engines
    assert (engine.name, engine.slots, engine.leased, engine.waiting) == ("near", 4, 3, 2)
    assert engine.wait_p95_s == pytest.approx(0.955)
    far, mine = picture.models
    assert (far.name, far.speed.requests_per_s, far.speed.first_token_p50_s) == ("far", 2.0, None)
    assert (mine.speed.requests_per_s, mine.speed.tokens_per_s, mine.failed, mine.fallbacks) == (0.5, 20.0, 1, 3)
    ada, bob = picture.keys
    assert (ada.name, ada.requests_per_s, ada.tokens_per_s, ada.refused) == ("ada", 2.5, 24.0, 1)
    assert ada.nearest == LimitUse("budget", 1000, 950)
    assert (bob.requests_per_s, bob.refused, bob.nearest) == (0.7, 7, None)
    first, second = picture.targets
    assert (first.state, first.failed_tries, first.last_error) == ("left out", 3, "upstream_error")
    assert (second.state, second.failed_tries, second.last_error) == ("ok", 0, "")


@pytest.mark.parametrize("health", [{}, {"targets": None}, {"targets": ["x", 1]}])
def test_a_gateway_that_did_nothing(health: dict[str, Any]) -> None:
    picture = build_picture(Scrape(1.0), Scrape(1.0), health)
    assert picture.speed == Speed()
    assert (picture.engines, picture.models, picture.keys, picture.targets) == ((), (), (), ())
    assert [section.rows for section in show_picture(picture)] == [()]


def test_what_a_terminal_is_shown(picture: Picture) -> None:
    sections = list(show_picture(picture))
    assert sections[0].lines == (
        "10.0 s: 2.5 requests/s, 20.0 tokens/s out, 4.0 in, 3 in progress",
        "first token: p50 100 ms, p95 910 ms",
        "errors: rate_limit_exceeded 7, upstream_error 1",
        "records of usage: 2 wait to be written, 1 lost",
        "disk of the state: 1000 B of 98 KiB free",
    )
    shown = {section.headers[0]: section.rows for section in sections[1:]}
    assert shown["engine"] == [("near", "4", "3", "2", "955 ms")]
    assert shown["model"][1] == ("mine", "0.5", "20.0", "100 ms", "910 ms", "1", "3")
    assert shown["key"][0] == ("ada", "2.5", "24.0", "1", "budget 950 of 1,000 (95%)")
    assert shown["target"][0] == ("first", "near", "left out", "3", "upstream_error")


def test_more_rows_than_one_looks_at_are_counted(picture: Picture) -> None:
    keys = tuple(KeyLoad(f"key {number}", 1.0, 1.0, 0, ()) for number in range(MOST_ROWS + 5))
    section = next(item for item in show_picture(replace(picture, keys=keys)) if item.headers[:1] == ("key",))
    assert len(section.rows) == MOST_ROWS
    assert section.lines == ("and 5 more",)
