"""Answers that are kept at a running gateway: what is given again, to whom, for how long, and what never is."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from stackctl.adapters.http.service_calls import fetch
from tests.integration.gateway.cache_site import BODIES, CHAT, CacheSite, is_hit, run_cache_site
from tests.waiting import wait_for


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CacheSite]:
    with run_cache_site(tmp_path_factory.mktemp("state")) as running:
        yield running


def test_an_equal_request_gets_the_same_answer_and_nobody_is_asked(site: CacheSite) -> None:
    first = site.ask_kept("mine", "equal")
    asked = len(site.server.asked)
    again = site.ask("mine", "equal")
    assert (first.headers["x-gateway-cache"], "age" in first.headers) == ("miss", False)
    assert (again.headers["x-gateway-cache"], int(again.headers["age"]) < 60) == ("hit", True)
    assert again.content == first.content
    assert again.headers["content-type"] == first.headers["content-type"] == "application/json"
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert len(site.server.asked) == asked


@pytest.mark.parametrize("path", list(BODIES))
@pytest.mark.parametrize("stream", [False, True])
def test_every_format_is_answered_again_as_it_was(site: CacheSite, path: str, stream: bool) -> None:
    first = site.post_kept(path, {"model": "mine", "stream": stream, **BODIES[path]})
    again = site.post(path, {"model": "mine", "stream": stream, **BODIES[path]})
    assert is_hit(again)
    assert again.content == first.content
    wanted = "text/event-stream; charset=utf-8" if stream else "application/json"
    assert again.headers["content-type"] == wanted
    assert (b"data: " in again.content) == stream


def test_vectors_are_kept_too(site: CacheSite) -> None:
    body = {"model": "vectors", "input": ["one", "two"]}
    first = site.post_kept("/v1/embeddings", {**body, "input": "one"})
    again = site.post("/v1/embeddings", {**body, "input": "one"})
    assert is_hit(again)
    assert again.content == first.content


def test_a_stream_is_no_answer_to_who_wants_it_whole_nor_the_other_way(site: CacheSite) -> None:
    site.ask_kept("mine", "framing", stream=True)
    assert not is_hit(site.ask_kept("mine", "framing", stream=False))
    assert is_hit(site.ask("mine", "framing", stream=True))
    assert is_hit(site.ask("mine", "framing", stream=False))
    assert not is_hit(site.ask("mine", "framing", stream=True, stream_options={"include_usage": True}))


@pytest.mark.parametrize(
    "changed",
    [
        {"temperature": 0.1},
        {"max_tokens": 7},
        {"stop": ["x"]},
        {"seed": 3},
        {"messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "changed"}]},
        {"messages": [{"role": "user", "content": "Changed"}]},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]},
        {"response_format": {"type": "json_object"}},
        {"headers": {"anthropic-beta": "another"}},
    ],
)
def test_whatever_changes_the_answer_is_another_request(site: CacheSite, changed: dict[str, Any]) -> None:
    if not is_hit(site.ask("mine", "changed")):
        wait_for(lambda: is_hit(site.ask("mine", "changed")), "the first answer")
    said: dict[str, Any] = {"messages": [{"role": "user", "content": "changed"}], **changed}
    headers = said.pop("headers", {})
    assert not is_hit(site.post(CHAT, {"model": "mine", **said}, **headers))


def test_the_order_of_fields_and_spaces_say_nothing(site: CacheSite) -> None:
    said = [{"role": "user", "content": "order"}]
    first = site.post_kept(CHAT, {"model": "mine", "messages": said, "temperature": 0, "seed": 1})
    text = b'{"seed":1,   "temperature":0,"messages":[{"role":"user","content":"order"}], "model":"mine"}'
    headers = {"Authorization": f"Bearer {site.gateway.key}"}
    again = httpx.post(f"{site.gateway.url}{CHAT}", content=text, headers=headers, timeout=60, trust_env=False)
    assert is_hit(again)
    assert again.content == first.content


def test_a_route_without_a_cache_keeps_nothing_whatever_is_asked(site: CacheSite) -> None:
    before = site.count()
    for _ in range(2):
        answer = site.ask("plain", headers={"x-gateway-cache": "use"})
        assert "x-gateway-cache" not in answer.headers
    assert site.count() == before


def test_a_client_asks_for_it_where_the_route_lets_it(site: CacheSite) -> None:
    assert site.ask("asked").headers["x-gateway-cache"] == "skipped"
    assert site.ask("asked").headers["x-gateway-cache"] == "skipped"
    site.ask_kept("asked", headers={"x-gateway-cache": "use"})
    assert is_hit(site.ask("asked", headers={"X-Gateway-Cache": "Use"}))
    assert site.ask("asked").headers["x-gateway-cache"] == "skipped"


def test_no_store_leaves_the_cache_alone_and_no_cache_renews_it(site: CacheSite) -> None:
    first = site.ask_kept("mine", "control")
    before = site.count()
    unkept = site.ask("mine", "control", headers={"Cache-Control": "no-store"})
    assert unkept.headers["x-gateway-cache"] == "skipped"
    assert is_hit(site.ask("mine", "control", headers={"Cache-Control": "max-age=600"}))
    assert site.ask("mine", "control").content == first.content
    for control in ("private, No-Cache", "max-age=0", "max-age=soon"):
        renewed = site.ask("mine", "control", headers={"Cache-Control": control})
        assert renewed.headers["x-gateway-cache"] == "skipped"
        wait_for(lambda sent=renewed.content: site.ask("mine", "control").content == sent, control)  # type: ignore[misc]
    assert site.count() == before


def test_an_answer_is_not_given_when_it_is_too_old(site: CacheSite) -> None:
    first = site.ask("short", "age")
    wait_for(lambda: site.ask("short", "age").content != first.content, "another answer")


def test_nobody_gets_the_answer_of_another_key(site: CacheSite) -> None:
    one, two = site.create("one"), site.create("two")
    first = site.ask_kept("mine", "secret", one)
    assert is_hit(site.ask("mine", "secret", one))
    for other in (two, "", site.gateway.admin_key):
        answer = site.ask("mine", "secret", other)
        assert not is_hit(answer)
        assert answer.content != first.content
    assert site.order("keys.rotate", name="one")["secret"] != one
    assert is_hit(site.ask("mine", "secret", one))


def test_a_revoked_key_gets_nothing_and_neither_does_the_next_of_its_name(site: CacheSite) -> None:
    key = site.create("leaver")
    site.ask_kept("mine", "farewell", key)
    site.order("keys.revoke", name="leaver")
    assert site.ask("mine", "farewell", key).status_code == 401
    assert not is_hit(site.ask("mine", "farewell", site.create("leaver")))


def test_a_shared_route_serves_whoever_has_the_same_rights(site: CacheSite) -> None:
    house, other = site.create("house", local_only=True), site.create("house 2", local_only=True)
    free = site.create("free")
    cloud = site.ask_kept("shared", "rights", free)
    assert is_hit(site.ask("shared", "rights"))
    assert not is_hit(site.ask_kept("shared", "rights", house))
    local = site.ask("shared", "rights", other)
    assert is_hit(local)
    assert local.content != cloud.content
    assert site.ask("shared", "rights", free).content == cloud.content


def test_another_name_for_the_same_route_is_another_request(site: CacheSite) -> None:
    barred = site.create("barred", models=["plain"])
    site.ask_kept("shared", "barred")
    assert site.ask("shared", "barred", barred).status_code == 403


def test_the_answer_of_a_fallback_is_not_kept(site: CacheSite) -> None:
    before = site.count()
    assert not is_hit(site.ask("falls", "fallback"))
    assert not is_hit(site.ask("falls", "fallback"))
    assert site.count() == before


def test_what_a_callers_own_key_brings_is_not_kept(site: CacheSite) -> None:
    before = site.count()
    for _ in range(2):
        answer = site.ask("own", "own", headers={"x-provider-key": "sk-own"})
        assert answer.headers["x-gateway-cache"] == "skipped"
    assert site.count() == before
    site.ask_kept("own", "own")
    assert site.ask("own", "own", headers={"x-provider-key": "sk-own"}).headers["x-gateway-cache"] == "skipped"


@pytest.mark.parametrize("stream", [False, True])
def test_failures_and_what_breaks_off_are_not_kept(site: CacheSite, stream: bool) -> None:
    before = site.count()
    for status in (400, 429, 500):
        site.server.refusal = status, b'{"error": {"message": "no"}}'
        assert site.ask("mine", "failure", stream=stream).status_code >= 400
    site.server.refusal = None
    site.server.cut = True
    try:
        answer = site.ask("mine", "failure", stream=stream)
        assert (answer.status_code, b"error" in answer.content) == (200 if stream else 503, True)
    finally:
        site.server.cut = False
    assert not is_hit(site.ask("mine", "failure", stream=stream))
    wait_for(lambda: site.count() == before + 1, "the answer that was one")


def test_an_answer_that_is_too_large_is_given_and_not_kept(site: CacheSite) -> None:
    before = site.count()
    site.server.answer = "x" * (5 * 1024 * 1024)
    try:
        for stream in (False, True):
            assert len(site.ask("mine", "large", stream=stream).content) > 5_000_000
    finally:
        site.server.answer = "answer-{number}"
    assert not is_hit(site.ask("mine", "large"))
    wait_for(lambda: site.count() == before + 1, "the small answer")


def test_two_equal_requests_at_once_break_nothing(site: CacheSite) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: site.ask("mine", "at once"), range(16)))
    assert {answer.status_code for answer in answers} == {200}
    kept = wait_for(lambda: found if is_hit(found := site.ask("mine", "at once")) else None, "a hit")
    assert kept.content in {answer.content for answer in answers}


def test_only_the_owner_may_read_the_files(site: CacheSite) -> None:
    site.ask_kept("mine", "modes")
    files = sorted(site.state.glob("cache.db*"))
    assert [file.name for file in files] == ["cache.db", "cache.db-shm", "cache.db-wal"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_a_hit_is_a_request_of_its_key_and_takes_no_tokens(site: CacheSite) -> None:
    body = {"model": "mine", "max_tokens": 1, "messages": [{"role": "user", "content": "counted"}]}
    # One of these fits, by its size; with the two tokens that it really takes another one does not.
    budget = len(json.dumps(body, separators=(",", ":"))) // 4 + 2
    key = site.create("counted", requests_per_minute=3, budget_tokens=budget)
    with site.await_kept():
        assert site.post(CHAT, body, key).status_code == 200
    other = site.post(CHAT, {**body, "stop": ["x"]}, key)
    assert other.json()["error"]["code"] == "budget_exceeded"
    again = [site.post(CHAT, body, key) for _ in range(3)]
    assert [answer.status_code for answer in again] == [200, 200, 429]
    assert again[1].headers["x-ratelimit-remaining-requests"] == "0"
    assert again[2].json()["error"]["code"] == "rate_limit_exceeded"
    rows = wait_for(lambda: found if len(found := site.read_usage("counted")) == 5 else None, "the records")
    hit = rows[2]
    assert (hit["provider"], hit["outcome"], hit["status"], hit["is_estimate"]) == ("(cache)", "ok", 200, 0)
    assert (hit["prompt_tokens"], hit["completion_tokens"]) == (0, 0)
    report = site.order("usage.report", by="provider")["rows"]
    assert "(cache)" in [row["name"] for row in report]


def test_a_probe_of_stackctl_asks_the_server_every_time(site: CacheSite) -> None:
    body = {"model": "mine", "messages": [{"role": "user", "content": "probe"}]}
    before = site.count(), len(site.server.asked)
    for _ in range(2):
        assert fetch(f"{site.gateway.url}{CHAT}", key=site.gateway.key, body=body).status == 200
    assert (site.count(), len(site.server.asked)) == (before[0], before[1] + 2)


def test_the_log_health_and_metrics_tell_of_it(site: CacheSite) -> None:
    site.ask_kept("mine", "told")
    request = site.ask("mine", "told").headers["x-request-id"]
    line = wait_for(
        lambda: next((entry for entry in site.read_log() if entry.get("request") == request), None), "its line"
    )
    assert (line["cache"], line["target"]) == ("hit", "mine")
    assert site.get_admin("/health").json()["cache"] == {"status": "ok"}
    text = site.get_admin("/metrics").text
    assert 'gateway_cache_total{model="mine",result="hit"}' in text
    assert 'gateway_cache_total{model="mine",result="miss"}' in text
    assert 'model="plain",result' not in text
    (size,) = [line for line in text.splitlines() if line.startswith("gateway_cache_bytes ")]
    assert float(size.split()[1]) > 10_000


def test_answers_are_removed_by_route_by_key_and_all(site: CacheSite) -> None:
    key = site.create("cleared")
    site.order("cache.clear")
    assert site.order("cache.show") | {"bytes": 0} == {"answers": 0, "bytes": 0, "models": []}
    site.ask_kept("mine", "clear", key)
    site.ask_kept("shared", "clear", key)
    site.ask_kept("mine", "clear")
    shown = site.order("cache.show")
    assert [(row["model"], row["answers"]) for row in shown["models"]] == [("mine", 2), ("shared", 1)]
    assert site.order("cache.clear", model="mine", name="cleared") == {"removed": 1}
    assert is_hit(site.ask("mine", "clear"))
    assert site.order("cache.clear", name="cleared") == {"removed": 1}
    assert site.order("cache.clear", model="mine") == {"removed": 1}
    assert not is_hit(site.ask("mine", "clear"))
    headers = {"Authorization": f"Bearer {site.gateway.admin_key}"}
    for wrong in ({"model": ""}, {"name": ""}, {"model": 3}, {"route": "mine"}):
        body = {"do": "cache.clear", **wrong}
        answer = httpx.post(f"{site.gateway.url}/admin", json=body, headers=headers, timeout=60, trust_env=False)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, next(iter(wrong)))
