"""The chat API beside the gateway that it asks: the same messages to both, in turn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.load import Load, Target, run_load
from tests.bench.paced import run_paced
from tests.bench.report import Figure
from tests.bench.services import run_service
from tests.bench.sites import build_body, build_site_plan, run_stackctl
from tests.chat_service import CHAT, build_environment, find_chat_python
from tests.ports import claim_ports

ROUNDS = 5
# Two threads of an engine wait for each other where there are no two cores for them, and rates are then anybody's.
_SETTINGS = {"INFERENCE_SLOTS": "8", "INFERENCE_THREADS": "1"}
# Seconds between two tokens of the paced server: 200 a second for each client.
_PACE_S, _TOKENS = 0.005, 200
_ADDED_GOAL_S, _DEMO_GOAL, _PACED_GOAL, _MEMORY_GOAL_MB = 0.003, 0.8, 0.98, 120
_TITLE = "Chat API"

# A body for each of the two: the gateway's and the chat API's.
Bodies = tuple[dict[str, Any], dict[str, Any]]


def measure_chat(site: Path) -> Iterator[Figure]:
    """Added time, streams at two servers, and the memory after all of it."""
    paced_port, port = claim_ports()[0], claim_ports()[0]
    (site / "stack.yml").write_text(
        "version: 1\nproviders:\n  paced:\n    kind: openai-compatible\n    local: true\n"
        f"    api_base: http://127.0.0.1:{paced_port}/v1\n    models:\n      paced: {{model: paced}}\n"
    )
    run_stackctl(site, "up", **_SETTINGS)
    try:
        plan = build_site_plan(site, _SETTINGS)
        gateway = Target(plan.services[-1].port, plan.variables["GATEWAY_KEY"])
        settings = {"GATEWAY_URL": f"http://127.0.0.1:{gateway.port}", "DEFAULT_SYSTEM_MESSAGE": ""}
        argv, variables = (find_chat_python(), "-m", "chat_api"), build_environment(port, settings)
        chat = Target(port, gateway.key, path=CHAT)
        streams = replace(chat, path=f"{CHAT}?stream=true", end=b"event: end")
        with ExitStack() as running:
            running.enter_context(run_paced(paced_port, _PACE_S, _TOKENS))
            running.enter_context(run_service(argv, variables, f"http://127.0.0.1:{port}/health/ready", site))
            yield _compare_times(gateway, chat)
            yield _compare_streams("demo engine", "local-chat", gateway, streams, _DEMO_GOAL)
            yield _compare_streams("paced, 200 tokens/s each", "paced", gateway, streams, _PACED_GOAL)
            yield _weigh(variables["CHAT_API_PORT"])
    finally:
        run_stackctl(site, "down")


def build_bodies(model: str, tokens: int, *, stream: bool) -> Bodies:
    """The same question for both."""
    body = build_body(model, tokens, stream=stream)
    question = body["messages"][0]["content"]
    ours = {"user_message": question, "model": model, "max_tokens": tokens, "temperature": 0, "stream": stream}
    return body, ours


def _compare_times(gateway: Target, chat: Target) -> Figure:
    bodies = build_bodies("paced", 1, stream=False)
    theirs, ours = _take_turns(gateway, chat, bodies, 1, 100)
    times = [[median(outcome.total_s for outcome in load.outcomes) for load in loads] for loads in (theirs, ours)]
    added = median(b - a for a, b in zip(*times, strict=True))
    bare, whole = median(times[0]), median(times[1])
    return Figure(_TITLE, "whole answer of one token", "1 client, 100 requests a round, a server that answers at once",
                  f"+{added * 1000:.1f} ms{_count_failures(ours)}", f"gateway: {bare * 1000:.1f} ms", whole / bare,
                  f"at most +{_ADDED_GOAL_S * 1000:.0f} ms", added <= _ADDED_GOAL_S)  # fmt: skip


def _compare_streams(name: str, model: str, gateway: Target, chat: Target, goal: float) -> Figure:
    """All answers have the same tokens, so that tokens a second are as answers a second."""
    bodies = build_bodies(model, _TOKENS, stream=True)
    theirs, ours = _take_turns(gateway, chat, bodies, 8, 16)
    share = median(b.requests_per_s / a.requests_per_s for a, b in zip(theirs, ours, strict=True))
    rates = [median(load.requests_per_s for load in loads) for loads in (ours, theirs)]
    return Figure(_TITLE, f"streamed answers/s, 8 at once, {name}", f"8 clients, streams of {model}",
                  f"{rates[0]:.2f}{_count_failures(ours)}", f"gateway: {rates[1]:.2f}", share, f"at least {goal}",
                  share >= goal)  # fmt: skip


def _take_turns(
    gateway: Target, chat: Target, bodies: Bodies, clients: int, requests: int
) -> tuple[list[Load], list[Load]]:
    """A round of each after the other, some times."""
    run_load(gateway, bodies[0], clients, clients)
    run_load(chat, bodies[1], clients, clients)
    pairs = [
        (run_load(gateway, bodies[0], clients, requests), run_load(chat, bodies[1], clients, requests))
        for _ in range(ROUNDS)
    ]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _weigh(port: str) -> Figure:
    resident = _find_resident(port) / 1000
    return Figure(_TITLE, "memory after these loads", "python -m chat_api", f"{resident:.0f} MB", "", None,
                  f"at most {_MEMORY_GOAL_MB} MB", resident <= _MEMORY_GOAL_MB)  # fmt: skip


def _find_resident(port: str) -> int:
    """KiB that the process with this port in its environment has in memory."""
    wanted = f"CHAT_API_PORT={port}".encode()
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and wanted in _read_environment(folder):
            lines = (folder / "status").read_text().splitlines()
            return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])
    raise RuntimeError("the chat API is not there any more")


def _read_environment(folder: Path) -> list[bytes]:
    try:
        return (folder / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _count_failures(loads: list[Load]) -> str:
    failures = sum(load.failures for load in loads)
    return f" ({failures} failed)" if failures else ""
