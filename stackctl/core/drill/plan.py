"""The requests of a drill, and the configuration of the gateway that they are sent to. Pure.

Each request has a route and targets of its own, since a gateway leaves out a target that keeps failing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from stackctl.core.drill.asks import Ask, ClientFormat, list_asks
from stackctl.core.drill.rows import Row, Server

RETRIES = 1
# Of providers that are to hang, which takes twice as long; and of all others, on a machine with much else to do.
HASTY_S, PATIENT_S = 2.0, 15.0
DEADLINE_S = 40.0
# No request of a drill may take longer, whatever fails: its deadline, and time for the machine.
LONGEST_S = DEADLINE_S + 5.0
FAILING, NEXT = "drill", "drill-next"
# How the stand-in is spoken to.
Dialect = Literal["openai-compatible", "anthropic"]


@dataclass(frozen=True, slots=True)
class PlannedTrial:
    """One request of a drill.

    Attributes:
        has_next: whether the route has another provider, which answers.
        provider_model: name under which the failing provider is asked; no other request has it.
        next_model: likewise for the other provider.
    """

    row: Row
    ask: Ask
    has_next: bool
    provider_model: str
    next_model: str


def plan_trials(rows: Iterable[Row], formats: Sequence[ClientFormat]) -> tuple[PlannedTrial, ...]:
    """Each row in each of the formats that it can be seen in: whole and streamed, alone and with a next provider."""
    planned: list[PlannedTrial] = []
    for row in rows:
        for ask in list_asks("", *(item for item in formats if item in row.formats)):
            for has_next in (False, True):
                name = f"{row.name}@{len(planned)}"
                asked = Ask(ask.format, ask.is_streamed, f"drill-{len(planned)}")
                planned.append(PlannedTrial(row, asked, has_next, name, f"ok@{len(planned)}"))
    return tuple(planned)


def write_configuration(
    planned: Sequence[PlannedTrial], addresses: Mapping[Server, str], next_address: str, dialect: Dialect
) -> str:
    """The gateway's configuration, as JSON, which is YAML too.

    Args:
        addresses: base URL of each server that may stand where the provider should be.
        next_address: base URL of the provider that answers.
    """
    models, owners, routes = [], {}, {}
    for item in planned:
        mode = {"embeddings": "embedding", "rerank": "rerank"}.get(item.ask.format, "chat")
        targets = [item.ask.model]
        models.append(_describe_model(item.ask.model, item.provider_model, addresses[item.row.server], mode, dialect))
        owners[item.ask.model] = {"provider": _name_provider(item.row)}
        if item.has_next:
            name = f"{item.ask.model}-next"
            targets.append(name)
            models.append(_describe_model(name, item.next_model, next_address, mode, dialect))
            owners[name] = {"provider": NEXT}
        routes[item.ask.model] = {"targets": targets, "retries": RETRIES, "deadline_s": DEADLINE_S}
    timeouts = {_name_provider(item.row): HASTY_S if item.row.is_time_out else PATIENT_S for item in planned}
    providers = {name: _describe_provider(dialect, wait_s) for name, wait_s in {**timeouts, NEXT: PATIENT_S}.items()}
    own = {"providers": providers, "models": owners, "routes": routes}
    return json.dumps({"model_list": models, "gateway": own}, indent=1)


def _name_provider(row: Row) -> str:
    return f"{FAILING}-{row.server}{'-hasty' if row.is_time_out else ''}"


def _describe_provider(dialect: Dialect, wait_s: float) -> dict[str, Any]:
    seconds = dict.fromkeys(("connect", "first_token", "between_tokens"), wait_s)
    return {"kind": dialect, "local": True, "timeouts": {**seconds, "whole": DEADLINE_S}}


def _describe_model(name: str, model: str, address: str, mode: str, dialect: Dialect) -> dict[str, Any]:
    prefix = "anthropic" if dialect == "anthropic" else "openai"
    parameters = {"model": f"{prefix}/{model}", "api_base": f"{address}/v1", "api_key": "drill-key"}
    return {"model_name": name, "litellm_params": parameters, "model_info": {"mode": mode}}
