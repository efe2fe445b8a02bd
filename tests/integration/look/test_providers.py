"""``stackctl providers`` against providers that work, refuse, hang and hide behind names and certificates."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from stackctl.adapters.http.drill_servers import DrillServers, run_drill_servers
from stackctl.adapters.http.provider_calls import ask_provider
from stackctl.adapters.http.stand_in import LOOPBACK, run_stand_in
from stackctl.adapters.http.stand_in_certificate import make_untrusted_context
from stackctl.core.drill.answers import MODEL
from stackctl.core.drill.behaviour import Behaviour
from stackctl.core.drill.faults import FAULTS
from stackctl.core.drill.rows import Server
from stackctl.core.health.provider_questions import Question
from tests.integration.stack_site import Site


@pytest.fixture(scope="module")
def servers() -> Iterator[DrillServers]:
    with run_drill_servers() as running:
        yield running


@pytest.mark.parametrize(
    ("server", "failure"),
    [
        ("refusing", "refused"),
        ("silent", "timed out"),
        ("untrusted", "wrong certificate"),
        ("unnamed", "unknown name"),
    ],
)
def test_why_there_is_no_answer(servers: DrillServers, server: Server, failure: str) -> None:
    # A name is looked up by the system, which takes the time it takes; only who is silent is not waited for.
    limit_s = 2.0 if server == "silent" else 60.0
    reply = ask_provider(Question(f"{servers.addresses[server]}/v1/models", {}, is_near=True), limit_s)
    assert (reply.status, reply.failure) == (0, failure)
    assert reply.detail


def test_a_companys_certificate_authority_is_trusted(tmp_path: Path) -> None:
    with run_stand_in(tls=make_untrusted_context(tmp_path / "ca.pem", LOOPBACK)) as provider:
        question = Question(f"{provider.url}/v1/models", {}, is_near=True)
        assert ask_provider(question, 5.0).failure == "wrong certificate"
        assert ask_provider(question, 5.0, tmp_path / "ca.pem").status == 200


def test_a_redirect_is_not_followed(servers: DrillServers) -> None:
    servers.failing.script("", FAULTS["302"])
    reply = ask_provider(Question(f"{servers.failing.url}/v1/models", {"authorization": "Bearer k"}, is_near=True), 5.0)
    assert reply.status == 302


def write_stack(site: Site, **providers: dict[str, Any]) -> None:
    (site.path / "stack.yml").write_text(yaml.safe_dump({"providers": providers}), encoding="utf-8")


def describe(kind: str, url: str, *models: str) -> dict[str, Any]:
    served = {model.replace("@", "-"): {"model": model} for model in models}
    return {"kind": kind, "api_base": url, "api_key": "PROVIDER_KEY", "models": served}


def test_each_provider_is_asked_for_nothing_that_costs(servers: DrillServers, tmp_path: Path) -> None:
    site = Site.create(tmp_path, PROVIDER_KEY="planted-provider-key")
    servers.next.script("", Behaviour())
    write_stack(
        site,
        good=describe("openai-compatible", f"{servers.next.url}/v1", MODEL),
        other=describe("anthropic", servers.next.url, "gone"),
        away=describe("openai-compatible", f"{servers.addresses['refusing']}/v1", "x"),
    )
    before = servers.next.total.count
    done = site.run("providers", "--json", code=6)
    report = {item["name"]: item for item in json.loads(done.stdout)["results"]}
    assert report["good"]["state"] == "reachable"
    assert report["other"]["state"] == "lacks model"
    assert (report["away"]["state"], report["away"]["status"]) == ("unreachable", "failed")
    assert "the stack is not running" in done.stderr
    asked = list(servers.next.total.requests)[before - servers.next.total.count :]
    assert {(request.method, request.path) for request in asked} == {("GET", "/v1/models")}
    keys = [request.headers.get("x-api-key") or request.headers.get("authorization") for request in asked]
    assert sorted(filter(None, keys)) == ["Bearer planted-provider-key", "planted-provider-key"]
    assert "planted" not in done.stdout + done.stderr


def test_a_test_asks_each_model_for_a_token(servers: DrillServers, tmp_path: Path) -> None:
    site = Site.create(tmp_path, PROVIDER_KEY="planted-provider-key")
    write_stack(site, good=describe("openai-compatible", f"{servers.next.url}/v1", "ok@test", MODEL))
    shown = site.run("providers", "--test")
    assert "ok-test answered in" in shown.stdout
    (request,) = servers.next.seen("ok@test").requests
    assert request.fields["max_tokens"] == 1
    write_stack(site, bad=describe("openai-compatible", f"{servers.next.url}/v1", "401-openai@test", MODEL))
    refused = site.run("providers", "--test", code=6)
    assert "refused key" in refused.stdout


def test_a_key_that_a_provider_repeats_is_not_shown(servers: DrillServers, tmp_path: Path) -> None:
    site = Site.create(tmp_path, PROVIDER_KEY="planted-provider-key")
    servers.failing.script("", Behaviour(status=500, body=b"no such key: planted-provider-key"))
    write_stack(site, p=describe("openai-compatible", f"{servers.failing.url}/v1", "x"))
    shown = site.run("providers", code=6)
    assert "no such key: ***" in shown.stdout
    assert "planted" not in shown.stdout + shown.stderr


def test_a_running_stack_tells_its_engines_and_what_its_gateway_has_seen(stack: Site) -> None:
    report = stack.run_json("providers", "--test")
    engines = {item["name"]: item for item in report["results"]}
    assert report["status"] == "ok"
    assert set(engines) == {"inference-chat", "inference-embed"}
    assert all(item["state"] == "reachable" for item in engines.values())
    assert "local-chat answered in" in engines["inference-chat"]["detail"]
    assert stack.run_json("providers")["results"][0]["gateway"] == "ok"
