"""What real gateways of one and of three workers say of this moment at ``/metrics``."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from stackctl.adapters.http.stand_in import StandIn, run_stand_in
from stackctl.core.drill.behaviour import Behaviour
from stackctl.core.drill.faults import OK
from tests.integration.gateway.drilled import run_gateway
from tests.integration.gateway.gates import Gate
from tests.waiting import wait_for

Open = Callable[[], Any]
Labels = dict[str, str]
TOKENS = 11  # of one answer of the stand-in's and its prompt


@pytest.fixture
def provider() -> Iterator[StandIn]:
    with run_stand_in() as running:
        yield running


@pytest.fixture(params=[1, 3], ids=["one worker", "three workers"])
def open_gate(request: pytest.FixtureRequest, provider: StandIn, tmp_path: Path) -> Open:
    @contextmanager
    def open_one() -> Iterator[Gate]:
        parameters = {"api_base": f"{provider.url}/v1", "api_key": "k"}
        models = [
            {"model_name": name, "litellm_params": {**parameters, "model": f"openai/{name}", **limits}}
            for name, limits in (("chat", {"rpm": 100}), ("broken", {}))
        ]
        own = {
            "providers": {"near": {"kind": "openai-compatible"}},
            "models": {"chat": {"provider": "near"}, "broken": {"provider": "near"}},
            "routes": {name: {"targets": [name], "retries": 0} for name in ("chat", "broken")},
        }
        settings = {"GATEWAY_STATE": str(tmp_path / "state"), "GATEWAY_WORKERS": str(request.param)}
        with ExitStack() as stack, run_gateway(json.dumps({"model_list": models, "gateway": own}), **settings) as gate:
            yield Gate(gate, request.param, stack)

    return open_one


def scrape(gate: Gate, client: int = 0) -> Callable[..., Any]:
    """A look-up of the values of one scrape, by name and labels."""
    headers = {"authorization": f"Bearer {gate.gateway.admin_key}"}
    families = text_string_to_metric_families(gate.clients[client].get("/metrics", headers=headers).text)
    found = {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}
    return lambda name, **labels: found.get((name, frozenset(labels.items())))


def test_how_keys_and_targets_stand_against_their_limits(open_gate: Open) -> None:
    with open_gate() as gate:
        key = gate.create("ada", requests_per_minute=50, tokens_per_minute=5000, budget_tokens=100, parallel_requests=9)
        gate.wait_for(key, "200")
        asked = scrape(gate)("gateway_key_limit_used", key="ada", kind="requests")
        for client in range(len(gate.clients)):  # whichever worker is asked
            read = scrape(gate, client)
            assert read("gateway_key_limit", key="ada", kind="requests") == 50
            assert read("gateway_key_limit_used", key="ada", kind="requests") == asked
            assert read("gateway_key_limit_used", key="ada", kind="tokens") == asked * TOKENS
            assert read("gateway_key_limit", key="ada", kind="budget") == 100
            assert read("gateway_key_limit_used", key="ada", kind="budget") == asked * TOKENS
            assert read("gateway_key_limit_used", key="ada", kind="parallel") == 0
            assert read("gateway_target_limit", target="chat", kind="requests") == 100
            assert read("gateway_target_limit_used", target="chat", kind="requests") == asked


def test_a_key_that_was_changed_has_its_new_limits_and_one_that_is_gone_has_none(open_gate: Open) -> None:
    with open_gate() as gate:
        gate.wait_for(gate.create("ada", requests_per_minute=50, budget_tokens=1000), "200")
        gate.order(do="keys.change", name="ada", budget_tokens=2000, requests_per_minute=None)
        wait_for(lambda: scrape(gate)("gateway_key_limit", key="ada", kind="budget") == 2000, "the new budget")
        assert scrape(gate)("gateway_key_limit", key="ada", kind="requests") is None
        gate.order(do="keys.revoke", name="ada")
        wait_for(lambda: scrape(gate)("gateway_key_limit", key="ada", kind="budget") is None, "the key to be gone")


def test_which_targets_answer(open_gate: Open, provider: StandIn) -> None:
    with open_gate() as gate:
        gate.ask(gate.gateway.key)
        assert scrape(gate)("gateway_target_available", target="chat") == 1
        assert scrape(gate)("gateway_target_available", target="broken") is None, "nobody knows"
        provider.script("broken", *[Behaviour(status=503)] * 5 * len(gate.clients))
        for _ in range(5):
            gate.ask(gate.gateway.key, "broken")
        assert scrape(gate)("gateway_target_available", target="broken") == 0
        provider.script("broken", OK)
        assert set(gate.ask(gate.gateway.key, "broken")) == {"200"}
        assert scrape(gate)("gateway_target_available", target="broken") == 1


def test_the_disk_the_records_and_what_the_gateway_is(open_gate: Open) -> None:
    with open_gate() as gate:
        gate.ask(gate.gateway.key)
        read = scrape(gate)
        assert 0 < read("gateway_state_disk_free_bytes") < read("gateway_state_disk_size_bytes")
        assert read("gateway_usage_records_waiting") == 0
        assert read("gateway_usage_records_lost_total") == 0
        assert read("gateway_info", python=platform.python_version(), workers=str(len(gate.clients)), models="2") == 1


def test_each_series_is_there_once_whichever_workers_were_asked(open_gate: Open) -> None:
    with open_gate() as gate:
        for client in [*gate.clients, *gate.clients]:
            text = client.get("/metrics", headers={"x-api-key": gate.gateway.admin_key}).text
        assert 'pid="' not in text
        series = [line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")]
        assert len(series) == len(set(series))
        names = [line for line in text.splitlines() if line.startswith("# TYPE")]
        assert len(names) == len(set(names))
