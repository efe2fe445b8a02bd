"""What a rehearsal without a network showed: who tried to reach what, and whether that proves the stack. Pure.

In: the lines that each ``stackctl/programs/watch.py`` wrote, the health report, what was pulled. Out: ``Attempt``
values and a ``Proof`` with every reason why it is none. A doubt is a reason, too: a watch that began late, ended early
or lost packets can hide an attempt.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from ipaddress import ip_address
from typing import Any

from stackctl.core.health.probes import HealthReport, ProbeResult, Status

ANSWER_LAYERS = ("completion", "stream", "embeddings", "rerank")
# Nobody has this address (RFC 5737): as name server it turns every lookup into a packet that is seen and refused.
NAME_SERVER = "192.0.2.53"
EMBEDDED_NAME_SERVER = "127.0.0.11"
DNS_PORT = 53


class AttemptKind(StrEnum):
    """How something outside was tried: a name was looked up, an address was connected to or sent to."""

    LOOKUP = "lookup"
    CONNECTION = "connection"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One thing outside the stack that a service tried to reach.

    Attributes:
        target: the name or the address that was tried.
        protocol: "dns", "tcp", "udp", "icmp", another IP protocol as "ip-132", or "link" where no packet followed
            because nobody on the local network has the address.
        port: port of the target; 0 where the protocol has none or the packet was never made.
        count: number of packets that were seen; a program that tries again counts again.
    """

    service: str
    kind: AttemptKind
    target: str
    protocol: str
    port: int = 0
    count: int = 1

    def render_text(self) -> str:
        """Who tried what, in words."""
        times = "once" if self.count == 1 else f"{self.count} times"
        if self.kind is AttemptKind.LOOKUP:
            return f"{self.service} looked up the name {self.target} ({times})"
        place = f"{f'[{self.target}]' if ':' in self.target else self.target}:{self.port}" if self.port else self.target
        return f"{self.service} tried to reach {place} by {self.protocol} ({times})"


@dataclass(frozen=True, slots=True)
class Sighting:
    """One kind of packet as the watch describes it, and how many of it there were."""

    kind: str
    values: Mapping[str, Any]
    count: int


@dataclass(frozen=True, slots=True)
class Watch:
    """All that was seen in the network namespace of one service, or of all services together.

    Attributes:
        addresses: addresses of the namespace itself.
        gateways: addresses of routers that the namespace had before every way out was taken away.
        gap: why this is not everything that happened; empty when it is.
    """

    service: str
    addresses: frozenset[str]
    gateways: frozenset[str]
    sightings: tuple[Sighting, ...]
    gap: str = ""


@dataclass(frozen=True, slots=True)
class Proof:
    """The outcome of a rehearsal.

    Attributes:
        health: the last health report; its rows say what failed.
        failure: why the stack did not become healthy, with the ends of logs; empty when it did.
        attempts: everything that anything tried to reach outside the stack.
        pulled: images that came from a registry meanwhile.
        gaps: reasons why the observation is not complete.
        altered: files of the installed release that do not have their digest any more.
    """

    health: HealthReport
    failure: str
    attempts: tuple[Attempt, ...]
    pulled: tuple[str, ...]
    gaps: tuple[str, ...]
    altered: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against the stack."""
        return not self.list_reasons()

    def list_reasons(self) -> tuple[str, ...]:
        """Everything that speaks against the stack, in words."""
        unhealthy = [_describe(row) for row in self.health.results if row.status in (Status.FAILED, Status.LOADING)]
        unanswered = [_describe(row) for row in list_answers(self.health.results) if row.status is Status.SKIPPED] or (
            [] if list_answers(self.health.results) else ["no model gave an answer"]
        )
        return (
            *(attempt.render_text() for attempt in self.attempts),
            *(f"{image} was pulled" for image in self.pulled),
            *self.altered,
            *self.failure.splitlines()[:1],  # below it are the ends of logs
            *unhealthy,
            *unanswered,
            *(f"the observation is not complete: {gap}" for gap in self.gaps),
        )


def list_answers(results: Iterable[ProbeResult]) -> tuple[ProbeResult, ...]:
    """The rows in which a model really computed something."""
    return tuple(row for row in results if row.layer in ANSWER_LAYERS)


def parse_watch(service: str, text: str) -> Watch:
    """Read what one watch wrote; whatever is missing or cannot be read becomes its ``gap``."""
    ready: dict[str, Any] | None = None
    end: dict[str, Any] | None = None
    counts: dict[str, Sighting] = {}
    gap = ""
    for line in text.splitlines():
        values = _parse_line(line)
        if values is None:
            gap = f"a line of it cannot be read: {line[:120]}"
        elif values["kind"] == "ready":
            ready = values
        elif values["kind"] == "end":
            end = values
        else:
            count = int(values.pop("count", 1))
            counts[json.dumps(values, sort_keys=True)] = Sighting(values.pop("kind"), values, count)
    return Watch(
        service,
        frozenset(ready["addresses"] if ready else ()),
        frozenset(ready["gateways"] if ready else ()),
        tuple(counts.values()),
        gap or _find_gap(ready, end),
    )


def _parse_line(line: str) -> dict[str, Any] | None:
    try:
        values = json.loads(line)
    except ValueError:
        return None
    return values if isinstance(values, dict) and isinstance(values.get("kind"), str) else None


def _find_gap(ready: Mapping[str, Any] | None, end: Mapping[str, Any] | None) -> str:
    if ready is None:
        return "it never began"
    if end is None:
        return "it broke off before the services had ended"
    return f"the kernel dropped {end['dropped']} packets unseen" if end["dropped"] else ""


def list_gaps(watches: Iterable[Watch]) -> tuple[str, ...]:
    """The gaps of all watches, by service."""
    return tuple(f"the watch over {watch.service}: {watch.gap}" for watch in watches if watch.gap)


def list_attempts(watches: Sequence[Watch], own_names: Collection[str]) -> tuple[Attempt, ...]:
    """Every attempt to reach something outside the stack, in order of service, kind and target.

    Args:
        own_names: names under which the stack's services find each other.
    """
    own_addresses = frozenset(address for watch in watches for address in watch.addresses)
    names = frozenset(name.lower() for name in own_names)
    found: dict[Attempt, int] = {}
    for watch in watches:
        for attempt, count in _judge_watch(watch, own_addresses, names):
            found[attempt] = found.get(attempt, 0) + count
    merged = [Attempt(a.service, a.kind, a.target, a.protocol, a.port, count) for a, count in found.items()]
    return tuple(sorted(merged, key=lambda a: (a.service, a.kind, a.target, a.port, a.protocol)))


def _judge_watch(
    watch: Watch, own_addresses: frozenset[str], own_names: frozenset[str]
) -> Iterable[tuple[Attempt, int]]:
    reached = {sighting.values.get("address") for sighting in watch.sightings if sighting.kind == "connect"}
    for sighting in watch.sightings:
        values = sighting.values
        address = str(values.get("address") or values.get("server"))
        is_own = address in own_addresses or _is_loopback(address)
        if sighting.kind == "lookup":
            if values["name"].lower() not in own_names:
                yield Attempt(watch.service, AttemptKind.LOOKUP, values["name"], "dns"), sighting.count
            if not is_own and address not in (NAME_SERVER, EMBEDDED_NAME_SERVER):
                yield _build_connection(watch, address, "udp", DNS_PORT), sighting.count
        elif sighting.kind == "connect" and not is_own:
            yield _build_connection(watch, address, values["protocol"], values["port"]), sighting.count
        # A router that answers is asked for before every reply to the published port; what is sent to it is seen.
        elif sighting.kind == "neighbour" and not is_own and address not in reached | watch.gateways:
            yield _build_connection(watch, address, "link", 0), sighting.count


def _build_connection(watch: Watch, address: str, protocol: str, port: int) -> Attempt:
    return Attempt(watch.service, AttemptKind.CONNECTION, address, protocol, port)


def _is_loopback(text: str) -> bool:
    try:
        return ip_address(text).is_loopback
    except ValueError:
        return False


def _describe(row: ProbeResult) -> str:
    return f"{row.layer} {row.subject}: {row.status}, {row.detail}"


def render_health(health: HealthReport) -> dict[str, Any]:
    """A report as plain values, for ``parse_health``."""
    return {"runtime": health.runtime, "device": health.device, "results": [asdict(row) for row in health.results]}


def parse_health(values: Mapping[str, Any]) -> HealthReport:
    """A health report from the values that ``render_health`` makes."""
    rows = tuple(ProbeResult(**{**row, "status": Status(row["status"])}) for row in values["results"])
    return HealthReport(values["runtime"], values["device"], rows)
