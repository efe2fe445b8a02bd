"""Drill: let a provider of our own fail in every way, and compare what a client of the gateway saw with the table.

In: a loaded site, for its gateway's program. Out: a ``DrillReport``. Does I/O through its effects: runs stand-ins and a
gateway of its own on loopback; the site's running stack is not touched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from stackctl.core.drill.asks import Ask, ClientFormat
from stackctl.core.drill.judge import Trial, describe_sighting, judge_trial
from stackctl.core.drill.plan import LONGEST_S, Dialect, PlannedTrial, plan_trials, write_configuration
from stackctl.core.drill.rows import Row, Server
from stackctl.core.drill.sightings import Received

# Most of them wait for a time-out.
_CLIENTS = 48


class Seen(Protocol):
    """What a stand-in says of one model."""

    @property
    def count(self) -> int: ...


class StandIn(Protocol):
    """A running stand-in."""

    def seen(self, model: str) -> Seen: ...


class Servers(Protocol):
    """The running servers of a drill: the one that fails, the one that answers, and where each is reached."""

    @property
    def failing(self) -> StandIn: ...
    @property
    def next(self) -> StandIn: ...
    @property
    def addresses(self) -> Mapping[Server, str]: ...
    @property
    def next_address(self) -> str: ...


class Gateway(Protocol):
    """A gateway that runs for the drill alone."""

    @property
    def url(self) -> str: ...
    @property
    def key(self) -> str: ...


@dataclass(frozen=True, slots=True)
class DrillEffects:
    """What a drill needs beside what every operation may use. The adapters say what each does."""

    run_servers: Callable[[], AbstractContextManager[Servers]]
    run_gateway: Callable[[str], AbstractContextManager[Gateway]]
    open_client: Callable[[str, str, float], AbstractContextManager[Callable[[Ask], Received]]]


@dataclass(frozen=True, slots=True)
class Drilled:
    """One request of a drill, judged.

    Attributes:
        saw: what the client saw, in words.
        problems: everything that is not as the table says.
    """

    plan: PlannedTrial
    saw: str
    elapsed_s: float
    problems: tuple[str, ...]


def run_drill(
    drill: DrillEffects, rows: Sequence[Row], formats: Sequence[ClientFormat], dialect: Dialect = "openai-compatible"
) -> tuple[Drilled, ...]:
    """Send every request of the rows in these formats, all at once, and judge each.

    Raises:
        RuntimeFailure: the gateway cannot be started.
    """
    planned = plan_trials(rows, formats)
    with drill.run_servers() as servers:
        configuration = write_configuration(planned, servers.addresses, servers.next_address, dialect)
        with (
            drill.run_gateway(configuration) as gateway,
            drill.open_client(gateway.url, gateway.key, LONGEST_S) as send,
            ThreadPoolExecutor(_CLIENTS) as pool,
        ):
            received = list(pool.map(lambda item: send(item.ask), planned))
        return tuple(_judge(*pair, servers) for pair in zip(planned, received, strict=True))


def _judge(plan: PlannedTrial, received: Received, servers: Servers) -> Drilled:
    counts = plan.row.server == "stand-in" and plan.row.has_sure_tries
    tries = servers.failing.seen(plan.provider_model).count if counts else None
    trial = Trial(plan, received, tries, servers.next.seen(plan.next_model).count)
    return Drilled(plan, describe_sighting(trial), received.elapsed_s, judge_trial(trial))
