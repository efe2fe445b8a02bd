"""A Redis, a provider and gateways that count in that Redis."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from stackctl.adapters.http.stand_in import StandIn, run_stand_in
from tests.integration.gateway.drilled import run_gateway
from tests.integration.gateway.gates import Gate
from tests.integration.gateway.shared.shared_gates import Open, make_folder
from tests.redis_server import RedisServer, run_redis


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with run_redis(make_folder(tmp_path, "redis")) as server:
        yield server


@pytest.fixture
def provider() -> Iterator[StandIn]:
    with run_stand_in() as running:
        yield running


@pytest.fixture
def open_gate(provider: StandIn, tmp_path: Path) -> Open:
    """Starts gateways, each with a state of its own."""

    @contextmanager
    def open_one(name: str, server: RedisServer, workers: int = 1, **settings: str) -> Iterator[Gate]:
        parameters = {"api_base": f"{provider.url}/v1", "api_key": "k", "model": "openai/chat"}
        models = [
            {"model_name": "chat", "litellm_params": parameters},
            {"model_name": "small", "litellm_params": {**parameters, "rpm": 10}},
            {"model_name": "capped", "litellm_params": parameters},
        ]
        own = {
            "providers": {"far": {"kind": "openai"}, "few": {"kind": "openai", "rpm": 12}},
            "models": {"chat": {"provider": "far"}, "small": {"provider": "far"}, "capped": {"provider": "few"}},
        }
        state = {"GATEWAY_STATE": str(tmp_path / name), "GATEWAY_WORKERS": str(workers)}
        configuration = json.dumps({"model_list": models, "gateway": own})
        with ExitStack() as stack, run_gateway(configuration, **state, **(server.environment | settings)) as gateway:
            yield Gate(gateway, workers, stack)

    return open_one
