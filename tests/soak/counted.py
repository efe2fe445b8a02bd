"""Mixed requests to providers that count what they say: the gateway's table of usage must say the same, to the token.

In: how many requests, and how often a worker is killed. Out: everything in which the table differs. The providers fail,
clients leave and workers are killed, as in mixed.py; what a provider counted is read from the very bytes that it sends.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from stackctl.adapters.http.stand_in import run_stand_in
from stackctl.adapters.process.drill_gateway import DrillGateway
from stackctl.core.drill.asks import Ask
from stackctl.core.drill.behaviour import Behaviour, Pause, Send, StandInRequest
from stackctl.core.drill.judge import SECRETS
from stackctl.core.drill.replies import build_reply
from stackctl.core.drill.sightings import Received
from tests.integration.gateway.drilled import run_gateway
from tests.soak.clients import open_session, run_pool, send
from tests.soak.mixed import choose_fault, kill_worker, plan_requests, write_mixed_configuration
from tests.waiting import wait_for

WORKERS, CLIENTS = 3, 32
# Planted in every answer and, as every question's text, searched for in the files of the state.
ANSWER_WORD, QUESTION = "answered-canary", "How far can you count?"
PLANTED = (ANSWER_WORD, QUESTION, "And back?", "mixed-key", *SECRETS)
_EVENT = re.compile(rb"data: (.*)\n")
_CHUNK_START = re.compile(rb"^[0-9a-f]+\r\n")


class Tokens(NamedTuple):
    """What was counted for one request, or for several."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0

    def plus(self, other: Tokens) -> Tokens:
        """Both together."""
        return Tokens(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


@dataclass
class CountedReport:
    """What came of a run.

    Attributes:
        problems: everything in which the table is wrong.
        rows: how many records there are, and how many of them are estimates.
        told: what the providers counted for requests whose clients stayed and whose workers lived.
        lost: seconds between the end of a request and the kill that lost its record, for each that was lost.
        ends: how requests ended, by the table.
    """

    problems: list[str] = field(default_factory=list)
    rows: tuple[int, int] = (0, 0)
    told: Tokens = field(default_factory=Tokens)
    lost: list[float] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class _Sent:
    """One request that has ended, by its id; ``ended`` in seconds of the monotonic clock."""

    name: str
    key: str
    ask: Ask
    received: Received
    begun: float
    ended: float


@dataclass
class _Ledger:
    """What the providers counted, by the request's id."""

    told: defaultdict[str, Tokens] = field(default_factory=lambda: defaultdict(Tokens))

    def choose(self, seed: int, request: StandInRequest, number: int) -> Behaviour | None:
        """How a request is answered; what that answer counts is kept."""
        behaviour = choose_fault(seed, request, number)
        if behaviour is None:
            return None
        chance = random.Random(f"{seed}/{number}/tokens")
        prompt = chance.randrange(1, 5000)
        behaviour = replace(
            behaviour,
            pieces=(ANSWER_WORD, *(f" {place}" for place in range(chance.randrange(1, 6)))),
            prompt_tokens=prompt,
            cached_tokens=chance.randrange(prompt) if chance.random() < 0.5 else 0,
        )
        name = request.headers.get("x-request-id", "")
        self.told[name] = self.told[name].plus(read_tokens(request, behaviour))
        return behaviour


def read_tokens(request: StandInRequest, behaviour: Behaviour) -> Tokens:
    """What the bytes of an answer say was used, up to where they make no sense."""
    head, _, body = b"".join(_list_bytes(request, behaviour)).partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        return Tokens()
    counted: dict[str, Any] = {}
    for text in _EVENT.findall(body) or [body]:
        try:
            value = json.loads(text)
        except ValueError:
            break
        if isinstance(value, dict):
            counted |= value.get("usage") or (value.get("message") or {}).get("usage") or {}
    cached = counted.get("cache_read_input_tokens", 0)
    if "input_tokens" in counted:
        return Tokens(counted["input_tokens"] + cached, counted.get("output_tokens", 0), cached)
    details = counted.get("prompt_tokens_details") or {}
    return Tokens(counted.get("prompt_tokens", 0), counted.get("completion_tokens", 0), details.get("cached_tokens", 0))


def _list_bytes(request: StandInRequest, behaviour: Behaviour) -> Iterator[bytes]:
    for step in build_reply(request, behaviour):
        if isinstance(step, Pause) and step.seconds == float("inf"):
            return
        if isinstance(step, Send):
            yield step.data


def run_counted(folder: Path, requests: int, kills: int, loss_s: float, seed: int = 1) -> CountedReport:
    """Run so many requests, killing a worker so often, and compare.

    Args:
        folder: of the gateway's state.
        loss_s: how old a record may be that a killed worker loses, in seconds.
    """
    report, ledger = CountedReport(), _Ledger()
    with ExitStack() as stack:
        providers = [stack.enter_context(run_stand_in(partial(ledger.choose, seed + place))) for place in range(3)]
        configuration = write_mixed_configuration(*(provider.url for provider in providers))
        gateway = stack.enter_context(
            run_gateway(configuration, GATEWAY_WORKERS=str(WORKERS), GATEWAY_STATE=str(folder))
        )
        sent, killed = asyncio.run(_load(gateway, plan_requests(requests, seed), kills))
        path = folder / "gateway.db"
        expected = {item.name for item in sent if item.received.status}
        # Those that are missing for good are found below.
        _wait_quiet(path, expected)
        report.problems += _find_planted(folder, gateway)
    rows = _read_rows(path)
    _compare(report, rows, ledger.told, sent, killed, loss_s)
    report.problems += _compare_sums(path)
    report.problems += _find_planted(folder, gateway)
    return report


async def _load(
    gateway: DrillGateway, planned: Sequence[tuple[Ask, float]], kills: int
) -> tuple[list[_Sent], list[float]]:
    killed: list[float] = []
    kill_at = {len(planned) * (number + 1) // (kills + 1) for number in range(kills)}
    keys = {"client": gateway.key, "admin": gateway.admin_key}

    async def ask_once(session: aiohttp.ClientSession, number: int, ask: Ask, leaves_after_s: float) -> _Sent:
        if number in kill_at:
            killed.append(time.monotonic())
            kill_worker(gateway, number)
        key = ("client", "admin")[number % 3 == 0]
        headers = {"x-request-id": f"counted-{number}", "authorization": f"Bearer {keys[key]}"}
        begun = time.monotonic()
        received = await send(session, ask, leaves_after_s=leaves_after_s, headers=headers)
        return _Sent(f"counted-{number}", key, ask, received, begun, time.monotonic())

    async with open_session(gateway) as session:
        jobs = (partial(ask_once, session, number, *item) for number, item in enumerate(planned))
        return await run_pool(jobs, CLIENTS), killed


def _wait_quiet(path: Path, expected: set[str]) -> None:
    """Wait until every record is there, or none has come for two seconds."""
    seen, since = -1, time.monotonic()

    def is_quiet() -> bool:
        nonlocal seen, since
        names = {row["request"] for row in _read_rows(path)}
        if len(names) != seen:
            seen, since = len(names), time.monotonic()
        return expected <= names or time.monotonic() - since > 2

    wait_for(is_quiet, "the last records", 60)


def _read_rows(path: Path) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM usage")]


def _compare(
    report: CountedReport,
    rows: Sequence[Mapping[str, Any]],
    told: Mapping[str, Tokens],
    sent: Sequence[_Sent],
    killed: Sequence[float],
    loss_s: float,
) -> None:
    by_name: dict[str, Mapping[str, Any]] = {}
    for entry in rows:
        if entry["request"] in by_name:
            report.problems.append(f"{entry['request']} was recorded twice")
        by_name[entry["request"]] = entry
    report.ends = Counter(f"{row['status']} {row['outcome']}" for row in rows)
    report.rows = len(rows), sum(row["is_estimate"] for row in rows)
    summed = Tokens()
    for item in sent:
        if (row := by_name.get(item.name)) is None:
            report.problems += _explain_missing(report, item, killed, loss_s, was_asked=item.name in told)
        elif item.received.broke:
            continue
        else:
            report.problems += _find_differences(item, row, told.get(item.name, Tokens()))
            if not row["is_estimate"]:
                report.told = report.told.plus(told.get(item.name, Tokens()))
                summed = summed.plus(_find_tokens(row))
    if summed != report.told:
        report.problems.append(f"the providers counted {report.told}, and the table {summed}")


def _explain_missing(
    report: CountedReport, item: _Sent, killed: Sequence[float], loss_s: float, was_asked: bool
) -> list[str]:
    """Why there is no record: its worker was killed while it served the request, or just after.

    Args:
        was_asked: whether a provider was: a client that leaves within a millisecond may have sent nothing yet.
    """
    if item.received.broke == "left" and not was_asked:
        return []
    if item.received.broke not in ("", "left"):  # served by nobody, or by the worker that died
        near = any(item.begun - 5 <= at <= item.ended + 1 for at in killed)
        return [] if near else [f"{item.name} broke with {item.received.broke}, and no worker was killed"]
    after = [at - item.ended for at in killed if at > item.ended - 1]
    age_s = min(after, default=float("inf"))
    if age_s > loss_s:
        return [f"{item.name}, which had ended {age_s:.3f} s before a worker was killed, has no record"]
    if age_s >= 0:  # else it was still served
        report.lost.append(age_s)
    return []


def _find_differences(item: _Sent, row: Mapping[str, Any], told: Tokens) -> list[str]:
    problems = []
    name = f"{item.name} ({item.ask.format} {item.ask.model}, {row['status']} {row['outcome']}, tried {row['tried']})"
    if (row["key"], row["format"], row["model"]) != (item.key, item.ask.format, item.ask.model):
        problems.append(f"{name} is recorded as {row['key']} {row['format']} {row['model']}")
    if row["status"] != item.received.status:
        problems.append(f"{name} was answered with {item.received.status}")
    found = _find_tokens(row)
    if row["is_estimate"]:
        if row["outcome"] == "ok" or (told.prompt and found.prompt != told.prompt):
            problems.append(f"{name}: estimated {found}, counted {told}")
    elif found != told:
        problems.append(f"{name}: recorded {found}, counted {told}")
    if row["outcome"] == "ok" and not (row["provider"] and 0 < row["first_s"] <= row["duration_s"]):
        problems.append(f"{name}: provider {row['provider']!r}, first {row['first_s']}, {row['duration_s']} s in all")
    if len(row["prompt_hash"] or b"") != 32:
        problems.append(f"{name} has no hash of its prompt")
    return problems


def _find_tokens(row: Mapping[str, Any]) -> Tokens:
    return Tokens(row["prompt_tokens"], row["completion_tokens"], row["cached_tokens"] or 0)


def _compare_sums(path: Path) -> list[str]:
    """The sums of days against the records that they are made of."""
    columns = "sum({}), sum(prompt_tokens), sum(completion_tokens), sum(ifnull(cached_tokens, 0))"
    with closing(sqlite3.connect(path)) as connection:
        records = connection.execute(f"SELECT {columns.format(1)} FROM usage").fetchone()
        queries = [f"SELECT {columns.format('requests')} FROM usage_of_{name}" for name in ("keys", "models")]
        sums = [connection.execute(query).fetchone() for query in queries]
    return [] if sums == [records, records] else [f"the records are {records} together, and their sums {sums}"]


def _find_planted(folder: Path, gateway: DrillGateway) -> list[str]:
    """Texts of prompts, answers and keys in the files of the state."""
    texts = [text.encode() for text in (*PLANTED, gateway.key, gateway.admin_key)]
    return [
        f"{text.decode()!r} stands in {file.name}"
        for file in folder.iterdir()
        for text in texts
        if text in file.read_bytes()
    ]
