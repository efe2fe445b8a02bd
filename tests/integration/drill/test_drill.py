"""``stackctl drill`` as a person runs it: the real gateway before stand-ins, and one that keeps no promise."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx

from stackctl.adapters.http.stand_in import run_stand_in
from stackctl.adapters.process.drill_gateway import DrillGateway
from stackctl.core.drill.asks import Ask
from stackctl.core.drill.faults import find_behaviour
from stackctl.core.drill.rows import ROWS
from stackctl.operations.look.drill import run_drill
from tests.integration.gateway.drilled import DRILL
from tests.integration.stack_site import Site
from tests.processes import list_listening

FAULTS = ("ok", "422-anthropic", "401-openai", "503-llama", "refused", "html", "cut-before", "cut-after")


def test_a_drill_says_what_clients_see_and_leaves_nothing_behind(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    before = list_listening([os.getpid()])  # servers that tests share
    shown = site.run("drill", *FAULTS)
    lines = shown.stdout.splitlines()
    of_fault = {line.split()[0]: line for line in lines if line.split()[:1] and line.split()[0] in FAULTS}
    assert list(of_fault) == list(FAULTS)
    assert all("as promised" in line for line in of_fault.values())
    assert "400 invalid_request" in of_fault["422-anthropic"]
    assert "an answer that broke off" in of_fault["cut-after"]
    assert "the next one's answer" in of_fault["503-llama"]
    assert lines[-1] == "64 requests, 64 as promised"
    assert list_listening([os.getpid()]) <= before
    assert site.run_json("status")["running"] is False
    told = json.loads(site.run("drill", "503-openai", "--format", "completions", "--json").stdout)
    assert told["ok"] is True
    assert [item["saw"] for item in told["requests"]] == ["503 upstream_error", "the next one's answer"] * 2


def test_a_fault_that_is_none_is_refused(tmp_path: Path) -> None:
    refused = Site.create(tmp_path).run("drill", "503-opneai", code=3)
    assert "'503-opneai' is no fault" in refused.stderr
    assert "503-openai" in refused.stderr


def test_a_gateway_that_passes_everything_on_does_not_pass() -> None:
    """The stand-in itself in the gateway's place: its words and broken streams reach the client as they are."""

    @contextmanager
    def run_open_gateway(configuration: str) -> Iterator[DrillGateway]:
        models = json.loads(configuration)["model_list"]
        upstream = {item["model_name"]: item["litellm_params"]["model"].partition("/")[2] for item in models}
        with run_stand_in() as bare:
            for name, model in upstream.items():
                bare.script(name, find_behaviour(model))
            yield DrillGateway(bare.url, "key", "admin-key", os.getpid(), Path())

    rows = [row for row in ROWS if row.name in ("ok", "400-openai", "503-openai", "html", "unfinished-after")]
    drilled = run_drill(replace(DRILL, run_gateway=run_open_gateway), rows, ("chat",))
    alone = [item for item in drilled if not item.plan.has_next]
    problems = {(item.plan.row.name, item.plan.ask.is_streamed): item.problems for item in alone}
    assert "'provider-canary-5d1e' reached the client" in problems["400-openai", False]
    assert "there is no X-Request-Id" in problems["ok", False]
    assert any("expected drill-" in problem for problem in problems["ok", False])
    assert "saw 503 no error; expected 503 upstream_error" in problems["503-openai", False]
    assert "the body is no JSON" in problems["html", False]
    assert "saw 200 no error; expected 200 upstream_error" in problems["unfinished-after", True]


def test_the_drills_gateway_is_open_to_its_own_key_alone() -> None:
    rows = [row for row in ROWS if row.name == "ok"]
    urls: list[str] = []

    @contextmanager
    def run_watched_gateway(configuration: str) -> Iterator[DrillGateway]:
        with DRILL.run_gateway(configuration) as gateway:
            urls.append(gateway.url)
            body = Ask("chat", False, "drill-0").body
            assert httpx.post(f"{gateway.url}/v1/chat/completions", json=body).status_code == 401
            assert isinstance(gateway, DrillGateway)
            yield gateway

    run_drill(replace(DRILL, run_gateway=run_watched_gateway), rows, ("chat",))
    assert urls[0].startswith("http://127.0.0.1:")
