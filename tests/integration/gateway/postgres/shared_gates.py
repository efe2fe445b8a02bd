"""Real gateways that share a real PostgreSQL server, and what they are asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

from stackctl.adapters.http.stand_in import StandIn
from tests.integration.gateway.drilled import run_gateway
from tests.integration.gateway.gates import Gate
from tests.waiting import wait_for

# A frozen server holds an action up this long, and a busy machine takes its time; no client waits longer.
BOUND_S = 30.0

Open = Callable[..., AbstractContextManager[Gate]]


def build_open(url: str, provider: StandIn, folder: Path) -> Open:
    """What starts gateways, each with a folder of its own, that share the database of this address."""

    @contextmanager
    def open_one(name: str = "one", workers: int = 1, **environment: str) -> Iterator[Gate]:
        parameters = {"api_base": f"{provider.url}/v1", "api_key": "k", "model": "openai/chat"}
        own = {
            "providers": {"engine": {"kind": "engine", "local": True}},
            "models": {"chat": {"provider": "engine"}},
        }
        settings = {
            "GATEWAY_STATE": str(folder / name),
            "GATEWAY_DATABASE_URL": url,
            "GATEWAY_WORKERS": str(workers),
            **environment,
        }
        configuration = json.dumps(
            {"model_list": [{"model_name": "chat", "litellm_params": parameters}], "gateway": own}
        )
        with ExitStack() as stack, run_gateway(configuration, **settings) as gateway:
            yield Gate(gateway, workers, stack)

    return open_one


def look(gate: Gate) -> dict[str, Any]:
    """What /health says of the state, with the admin key."""
    answer = gate.clients[0].get("/health", headers={"x-api-key": gate.gateway.admin_key})
    found: dict[str, Any] = answer.json()["state"]
    return found


def report(gate: Gate) -> dict[str, int]:
    """Requests by key, as the database has them."""
    rows = gate.order(do="usage.report").json()["rows"]
    return {row["name"]: row["requests"] for row in rows}


def wait_until_away(gate: Gate) -> None:
    wait_for(lambda: look(gate)["status"] == "unavailable", "the gateway to notice")


def wait_until_back(gate: Gate) -> None:
    wait_for(lambda: look(gate)["status"] == "ok", "the database to be used again")
