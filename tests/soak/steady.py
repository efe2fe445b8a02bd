"""Requests that must all be answered while the engine cuts connections: one after another, and all at once."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from stackctl.adapters.http.stand_in import run_stand_in
from stackctl.adapters.process.drill_gateway import DrillGateway
from stackctl.core.drill.asks import STREAMED, Ask, list_asks
from stackctl.core.drill.behaviour import Behaviour, StandInRequest
from stackctl.core.drill.faults import FAULTS, OK
from stackctl.core.drill.judge import TEXT
from stackctl.core.drill.sightings import Received, read_sighting
from tests.integration.gateway.drilled import run_gateway
from tests.soak.clients import open_session, run_pool, send

SLOTS = 32
# What the first try of every tenth request meets, and the second of every fiftieth; the route tries three times.
CUTS = ("reset", "cut-before", "closes", "unfinished-before", "503-llama")


@dataclass
class CuttingEngine:
    """Decides what each request meets, which it knows again by its question.

    Attributes:
        tries: how often each question came.
    """

    tries: Counter[str] = field(default_factory=Counter)

    def choose(self, request: StandInRequest, number: int) -> Behaviour | None:
        """The behaviour for one request."""
        messages = request.fields.get("messages") or [{}]
        question = str(messages[-1].get("content"))
        self.tries[question] += 1
        place = int(question.rpartition(" ")[2])
        is_cut = place % 10 == 0 if self.tries[question] == 1 else place % 50 == 0 and self.tries[question] == 2
        return FAULTS[CUTS[place // 10 % len(CUTS)]] if is_cut else OK


@dataclass
class SteadyReport:
    """What came of a run.

    Attributes:
        problems: every answer that was not whole and right.
        tried_again: requests that the engine saw more than once.
        most_at_once: requests in the engine at the same time.
        seconds: of the sequential ones, and of those at once.
    """

    problems: list[str]
    tried_again: int
    most_at_once: int
    seconds: tuple[float, float]


def run_steady(sequential: int, concurrent: int) -> SteadyReport:
    """Ask so many times one after another, then so many times at once."""
    engine = CuttingEngine()
    with run_stand_in(engine.choose) as provider, run_gateway(_write_configuration(provider.url)) as gateway:
        begun = time.monotonic()
        problems = asyncio.run(_ask(gateway, range(sequential), at_once=1))
        middle = time.monotonic()
        problems += asyncio.run(_ask(gateway, range(sequential, sequential + concurrent), at_once=concurrent))
        seconds = middle - begun, time.monotonic() - middle
    again = sum(count > 1 for count in engine.tries.values())
    return SteadyReport(problems, again, provider.total.most_at_once, seconds)


def _write_configuration(url: str) -> str:
    parameters = {"model": "openai/chat", "api_base": f"{url}/v1", "api_key": "k"}
    model = {"model_name": "chat", "litellm_params": parameters, "model_info": {"mode": "chat"}}
    provider = {"kind": "engine", "local": True, "slots": SLOTS, "fresh_connections": True}
    routes = {"chat": {"targets": ["chat"], "retries": 2, "deadline_s": 60}}
    own = {"providers": {"engine": provider}, "models": {"chat": {"provider": "engine"}}, "routes": routes}
    return json.dumps({"model_list": [model], "gateway": own})


async def _ask(gateway: DrillGateway, numbers: Sequence[int], at_once: int) -> list[str]:
    asks = list_asks("chat", "chat", "messages")
    async with open_session(gateway) as session:

        async def ask_once(number: int) -> str:
            ask = asks[number % len(asks)]
            return _find_problem(ask, await send(session, ask, content=f"question {number}"))

        jobs = ((lambda number=number: ask_once(number)) for number in numbers)
        return [problem for problem in await run_pool(jobs, at_once) if problem]


def _find_problem(ask: Ask, received: Received) -> str:
    seen = read_sighting(ask, received)
    if received.status == 200 and seen.is_complete and seen.text == TEXT and not received.broke:
        return ""
    assert ask.format in STREAMED
    return f"{ask.format}: {received.status} {seen.code} {received.broke} {seen.malformed} {seen.text!r}"
