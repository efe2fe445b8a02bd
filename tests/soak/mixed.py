"""Mixed requests over three providers that fail by a schedule, clients that leave, workers that are killed.

Nothing may hang, be taken for an answer that is none, or stay behind: no slot, no connection, no memory.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from stackctl.adapters.http.stand_in import StandIn, run_stand_in
from stackctl.adapters.process.drill_gateway import DrillGateway
from stackctl.core.drill.asks import STREAMED, Ask, ClientFormat, list_asks
from stackctl.core.drill.behaviour import Behaviour, StandInRequest
from stackctl.core.drill.faults import FAULTS, OK
from stackctl.core.drill.judge import SECRETS, TEXT
from stackctl.core.drill.sightings import Received, read_sighting
from tests.integration.gateway.drilled import run_gateway
from tests.processes import is_alive, list_descendants
from tests.soak.clients import open_session, run_pool, send
from tests.waiting import wait_for

FORMATS: tuple[ClientFormat, ...] = ("chat", "completions", "messages", "responses", "embeddings")
SLOTS, WORKERS, CLIENTS = 8, 2, 64
ROUTES = {"engine": ["engine", "near", "far"], "near": ["near", "far"], "far": ["far"]}
# What a request may meet at a provider, four times out of five nothing.
SCHEDULE = (
    *(
        "503-openai",
        "500-llama",
        "429-openai",
        "429-retry-after",
        "401-openai",
        "400-openai",
        "overflow-llama",
        "loading",
    ),
    *(
        "reset",
        "closes",
        "html",
        "null",
        "no-choices",
        "empty-events",
        "cut-before",
        "half-json-before",
        "error-before",
    ),
    *("cut-after", "reset-after", "unfinished-after", "half-json-after", "error-after", "slow-between-tokens"),
)
REFUSALS = frozenset({400, 429, 502, 503, 504})
# Growth of one worker from its first fifth of the requests to the end, and files and sockets that one has open at rest:
# 25, of which none is a connection.
MEMORY_MIB, DESCRIPTORS = 32, 40
# A client finds out that a worker was killed when it uses one of its connections to it again.
STALE_S = 5.0


@dataclass
class MixedReport:
    """What came of a run.

    Attributes:
        ends: how requests ended, counted by status and code, or by how they broke.
        problems: everything that must not be.
        memory_mib: resident memory of the largest worker after a fifth of the requests, and at the end.
        seconds: how long it took.
    """

    ends: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    memory_mib: tuple[int, int] = (0, 0)
    seconds: float = 0.0


@dataclass(frozen=True)
class _Sent:
    """One request that has ended; ``begun`` and ``ended`` in seconds of the monotonic clock."""

    ask: Ask
    received: Received
    begun: float
    ended: float


def run_mixed(requests: int, kills: int, seed: int = 1) -> MixedReport:
    """Run so many requests, killing a worker so often, and look at what is left."""
    report, begun = MixedReport(), time.monotonic()
    with ExitStack() as stack:
        providers = [stack.enter_context(run_stand_in(partial(choose_fault, seed + place))) for place in range(3)]
        configuration = write_mixed_configuration(*(provider.url for provider in providers))
        gateway = stack.enter_context(run_gateway(configuration, GATEWAY_WORKERS=str(WORKERS)))
        first = requests // 5
        asyncio.run(_load(gateway, report, plan_requests(first, seed), 0))
        memory = measure_memory_mib(gateway)
        asyncio.run(_load(gateway, report, plan_requests(requests - first, seed + 1), kills))
        report.problems += look_at_rest(gateway, providers[0])
        report.memory_mib = memory, measure_memory_mib(gateway)
    if report.memory_mib[1] > memory + MEMORY_MIB:
        report.problems.append(f"memory grew from {memory} to {report.memory_mib[1]} MiB")
    report.seconds = time.monotonic() - begun
    return report


def choose_fault(seed: int, request: StandInRequest, number: int) -> Behaviour | None:
    """What the n-th request to a provider meets: the same in each run."""
    chance = random.Random(f"{seed}/{number}")
    if not request.model:
        return None
    if chance.random() < 0.002:
        return FAULTS["hang"]
    return FAULTS[chance.choice(SCHEDULE)] if chance.random() < 0.2 else OK


def write_mixed_configuration(*urls: str) -> str:
    """An engine with slots, a provider of OpenAI's format, and Anthropic's, in the order of their addresses."""
    kinds = {"engine": "engine", "near": "openai-compatible", "far": "anthropic"}
    seconds = {"connect": 2, "first_token": 3, "between_tokens": 3, "whole": 20}
    providers: dict[str, Any] = {
        name: {"kind": kind, "local": True, "timeouts": seconds} for name, kind in kinds.items()
    }
    providers["engine"] |= {"slots": SLOTS, "fresh_connections": True}
    models, owners, routes = [], {}, {}
    for (name, kind), url in zip(kinds.items(), urls, strict=True):
        prefix = "anthropic" if kind == "anthropic" else "openai"
        for mode in ("chat", "embedding") if kind != "anthropic" else ("chat",):
            served = name if mode == "chat" else f"{name}-vectors"
            parameters = {"model": f"{prefix}/{served}", "api_base": f"{url}/v1", "api_key": "mixed-key"}
            models.append({"model_name": served, "litellm_params": parameters, "model_info": {"mode": mode}})
            owners[served] = {"provider": name}
    for name, targets in ROUTES.items():
        routes[name] = {"targets": targets, "retries": 1, "deadline_s": 20}
        vectors = [f"{item}-vectors" for item in targets if item != "far"]
        if vectors and name != "far":
            routes[f"{name}-vectors"] = {"targets": vectors, "retries": 1, "deadline_s": 20}
    own = {"providers": providers, "models": owners, "routes": routes}
    return json.dumps({"model_list": models, "gateway": own})


def plan_requests(count: int, seed: int) -> list[tuple[Ask, float]]:
    """Requests of all formats to all routes, and when their clients leave; 0 where they stay."""
    asks = [
        ask
        for route in ROUTES
        for kind in FORMATS
        if not (route == "far" and kind in ("completions", "embeddings"))
        for ask in list_asks(f"{route}-vectors" if kind == "embeddings" else route, kind)
    ]
    chance = random.Random(seed)
    return [(chance.choice(asks), chance.uniform(0.001, 0.5) if chance.random() < 0.08 else 0.0) for _ in range(count)]


async def _load(gateway: DrillGateway, report: MixedReport, planned: Sequence[tuple[Ask, float]], kills: int) -> None:
    """Send everything, killing workers at even distances, and judge each answer."""
    killed: list[float] = []
    kill_at = {len(planned) * (number + 1) // (kills + 1) for number in range(kills)}

    async def ask_once(session: aiohttp.ClientSession, number: int, ask: Ask, leaves_after_s: float) -> _Sent:
        if number in kill_at:
            killed.append(time.monotonic())
            kill_worker(gateway, number)
        begun = time.monotonic()
        received = await send(session, ask, leaves_after_s=leaves_after_s)
        return _Sent(ask, received, begun, time.monotonic())

    async with open_session(gateway) as session:
        jobs: Iterator[Callable[[], Awaitable[_Sent]]] = (
            partial(ask_once, session, number, *item) for number, item in enumerate(planned)
        )
        sent = await run_pool(jobs, CLIENTS)
    for item in sent:
        end, problem = judge_mixed(item, any(item.begun - STALE_S <= at <= item.ended + 1 for at in killed))
        report.ends[end] += 1
        if problem:
            report.problems.append(f"{item.ask.format} {item.ask.model}: {problem}")


def kill_worker(gateway: DrillGateway, seed: int) -> None:
    """Kill one of the processes that serve, if any is there."""
    workers = sorted(filter(is_alive, list_descendants(gateway.pid)))
    if workers:
        os.kill(random.Random(seed).choice(workers), signal.SIGKILL)


def judge_mixed(sent: _Sent, was_killed: bool) -> tuple[str, str]:
    """How a request ended, and what is wrong with that.

    Args:
        was_killed: whether a worker died meanwhile, which may have been the one that served it.
    """
    ask, received = sent.ask, sent.received
    if received.broke == "left":
        return "left", ""
    if received.broke:
        return f"broke: {received.broke}", "" if was_killed and received.broke != "hung" else received.broke
    seen = read_sighting(ask, received)
    end = f"{received.status} {seen.code or 'answered'}"
    leaked = [secret for secret in SECRETS if secret in received.text]
    if leaked:
        return end, f"{leaked[0]} reached the client"
    if seen.malformed:
        return end, seen.malformed
    if received.status != 200:
        return end, "" if received.status in REFUSALS and seen.code else f"refused with {end}"
    if not seen.is_complete:
        is_told = bool(seen.code) and ask.is_streamed and TEXT.startswith(seen.text)
        return end, "" if is_told else f"an answer that is none: {received.text[-200:]!r}"
    if ask.format in STREAMED and seen.text != TEXT:
        return end, f"a wrong answer: {seen.text!r}"
    return end, "" if seen.models == (ask.model,) else f"the model is {seen.models}"


def look_at_rest(gateway: DrillGateway, engine: StandIn) -> list[str]:
    """What is left when nobody asks any more: slots, workers, connections."""
    problems = []
    if engine.total.most_at_once > SLOTS:
        problems.append(f"the engine was sent {engine.total.most_at_once} requests at once; it has {SLOTS} slots")
    try:
        wait_for(lambda: _is_idle(gateway), "free slots", 30)
        wait_for(lambda: engine.total.open == 0, "the engine's last request", 30)
        wait_for(lambda: len(_list_processes(gateway)) == WORKERS + 1, "all workers", 30)
        wait_for(lambda: not list_connections(gateway), "closed connections", 60)
    except AssertionError as error:
        problems.append(f"{error}; connected to {list_connections(gateway)}")
    most = max(map(count_descriptors, _list_processes(gateway)))
    if most > DESCRIPTORS:
        problems.append(f"a process has {most} files and sockets open")
    return problems


def _is_idle(gateway: DrillGateway) -> bool:
    return all(not line["leased"] and not line["waiting"] for line in asyncio.run(_read_slots(gateway)).values())


async def _read_slots(gateway: DrillGateway) -> dict[str, dict[str, int]]:
    headers = {"authorization": f"Bearer {gateway.admin_key}"}
    async with aiohttp.ClientSession() as session, session.get(f"{gateway.url}/health", headers=headers) as answer:
        slots: dict[str, dict[str, int]] = (await answer.json())["slots"]
        return slots


def _list_processes(gateway: DrillGateway) -> list[int]:
    return [gateway.pid, *filter(is_alive, list_descendants(gateway.pid))]


def list_connections(gateway: DrillGateway) -> list[str]:
    """Peers to which its processes are connected by TCP, with the state of each connection."""
    found = []
    for pid in _list_processes(gateway):
        with suppress(psutil.NoSuchProcess):
            held = psutil.Process(pid).net_connections("tcp")
            found += [f"{one.raddr[0]}:{one.raddr[1]} {one.status}" for one in held if one.raddr]
    return found


def count_descriptors(pid: int) -> int:
    """Open files and sockets of a process."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def measure_memory_mib(gateway: DrillGateway) -> int:
    """Resident memory of its largest process."""
    pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in _list_processes(gateway)]
    return max(pages) * os.sysconf("SC_PAGE_SIZE") >> 20
