"""What keys, limits, usage and the cache cost: a gateway with all of them beside one with none, before one server."""

from __future__ import annotations

import http.client
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median

from gateway.state.database import FILE_NAME
from gateway.state.keys import create_key
from gateway.state.values import Terms

from stackctl.adapters.process.drill_gateway import DrillGateway
from tests.bench.load import Target, run_load
from tests.bench.paced import PACE_S, TOKENS, run_paced
from tests.bench.report import Figure
from tests.bench.sites import build_body
from tests.integration.gateway.drilled import run_gateway
from tests.ports import claim_ports
from tests.soak.records import measure_records

RECORDS, KEYS = 1_000_000, 10_000
ROUNDS, REQUESTS = 5, 300
_GROUP = "Keys, limits, usage and cache"
_GOAL_S, _GOAL_SHARE = 0.0005, 0.95
_PLENTY = 10**9
# The same text may be asked again, and what is answered is kept.
_NEW = (("Cache-Control", "no-cache"),)
_TERMS = Terms(
    requests_per_minute=_PLENTY, tokens_per_minute=_PLENTY, parallel_requests=1000, budget_tokens=10 * _PLENTY
)
_CONFIG = """\
model_list:
  - model_name: paced
    litellm_params: {{model: openai/paced, api_base: "http://127.0.0.1:{port}/v1", api_key: k}}
    model_info: {{mode: chat}}
gateway:
  providers: {{p: {{kind: openai-compatible, local: true}}}}
  models: {{paced: {{provider: p}}}}
  routes: {{paced: {{targets: [paced], retries: 0, deadline_s: 60{cache}}}}}
"""


@dataclass(frozen=True, slots=True)
class _Side:
    """A gateway, and the key that it is asked with."""

    gateway: DrillGateway
    key: str

    @property
    def target(self) -> Target:
        """Where loads go."""
        return Target(int(self.gateway.url.rpartition(":")[2]), self.key, _NEW)


def measure_policy(folder: Path) -> Iterator[Figure]:
    """Answers and streams through both, in turns; each asks for text that was not asked before."""
    state, port = folder / "state", claim_ports()[0]
    measure_records(state, RECORDS, KEYS)
    key = _give_out_keys(state / FILE_NAME)
    none = _CONFIG.format(port=port, cache="")
    full = _CONFIG.format(port=port, cache=", cache: {max_age_s: 600}")
    with run_paced(port), run_gateway(none) as bare, run_gateway(full, GATEWAY_STATE=str(state)) as complete:
        sides = {"none": _Side(bare, bare.key), "all": _Side(complete, key)}
        yield _compare_answers(sides)
        for clients in (1, 8, 32):
            yield _compare_streams(sides, clients)


def _give_out_keys(path: Path) -> str:
    """Make all keys; returns what the client of one sends."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        now = time.time()
        secrets = [create_key(connection, f"key-{number}", _TERMS, None, now)[1] for number in range(KEYS)]
        connection.execute("COMMIT")
    return secrets[KEYS // 2]


def _compare_answers(sides: dict[str, _Side]) -> Figure:
    numbers = count()
    took: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(ROUNDS + 1):
        for name, side in sides.items():
            seconds = _ask(side, numbers)
            took[name] += seconds if turn else []
    bare, complete = median(took["none"]), median(took["all"])
    added = complete - bare
    return Figure(_GROUP, "median time of an answer", f"1 client, {REQUESTS} answers of one token in turns",
                  f"{complete * 1000:.2f} ms, +{added * 1000:.2f} ms", f"with none of them: {bare * 1000:.2f} ms",
                  complete / bare, f"at most +{_GOAL_S * 1000:.1f} ms", added <= _GOAL_S)  # fmt: skip


def _ask(side: _Side, numbers: Iterator[int]) -> list[float]:
    """Seconds of each of many answers, over one connection."""
    headers = {"Authorization": f"Bearer {side.key}", "Content-Type": "application/json"}
    took = []
    with closing(http.client.HTTPConnection("127.0.0.1", side.target.port)) as connection:
        for _ in range(REQUESTS):
            said = [{"role": "user", "content": f"Say number {next(numbers)}."}]
            body = json.dumps({"model": "paced", "max_tokens": 1, "messages": said})
            started = time.perf_counter()
            connection.request("POST", "/v1/chat/completions", body, headers)
            answer = connection.getresponse()
            answer.read()
            took.append(time.perf_counter() - started)
            if answer.status != 200:
                raise RuntimeError(f"the gateway answered {answer.status}")
    return took


def _compare_streams(sides: dict[str, _Side], clients: int) -> Figure:
    body = build_body("paced", 200, stream=True)
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, side in sides.items():
            rates[name].append(run_load(side.target, body, clients, 2 * clients).events_per_s)
    share = median(a / b for a, b in zip(rates["all"], rates["none"], strict=True))
    command = f"{TOKENS} tokens each, one each {PACE_S * 1000:.0f} ms"
    return Figure(_GROUP, f"streamed tokens/s, {clients} at once", command,
                  f"{median(rates['all']):.0f}", f"with none of them: {median(rates['none']):.0f}", share,
                  f"at least {_GOAL_SHARE}", share >= _GOAL_SHARE)  # fmt: skip
