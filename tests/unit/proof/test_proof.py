"""What counts as an attempt to reach the world, and every reason why a rehearsal proves nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from stackctl.core.health.probes import HealthReport, ProbeResult, Status
from stackctl.core.proof.sightings import (
    Attempt,
    AttemptKind,
    Proof,
    list_attempts,
    list_gaps,
    parse_health,
    parse_watch,
    render_health,
)

READY = {"kind": "ready", "addresses": ["127.0.0.1", "::1", "172.18.0.2"], "gateways": ["172.19.0.1"]}
END = {"kind": "end", "dropped": 0}
ANSWERED = ProbeResult("completion", "local-chat", Status.OK, "known answer 'pong'")
HEALTHY = HealthReport("compose", "CPU", (ProbeResult("service", "inference-chat", Status.OK), ANSWERED))
PASS = Proof(HEALTHY, "", (), (), ())
OWN_NAMES = ("inference-chat", "api-gateway")


def write_watch(*events: dict[str, object]) -> str:
    return "\n".join(json.dumps(event) for event in (READY, *events, END))


def find_attempts(*events: dict[str, object]) -> tuple[Attempt, ...]:
    return list_attempts([parse_watch("api-gateway", write_watch(*events))], OWN_NAMES)


def connect(address: str, port: int = 443, protocol: str = "tcp") -> dict[str, object]:
    return {"kind": "connect", "protocol": protocol, "address": address, "port": port}


def look_up(name: str, server: str = "127.0.0.11") -> dict[str, object]:
    return {"kind": "lookup", "name": name, "server": server}


@pytest.mark.parametrize(
    "event",
    [
        look_up("inference-chat"),
        look_up("INFERENCE-CHAT", "192.0.2.53"),
        connect("127.0.0.1", 8001),
        connect("127.0.0.11", 40000, "udp"),
        connect("::1", 8001),
        connect("172.18.0.2", 8001),
        {"kind": "neighbour", "address": "172.18.0.2"},
        # The router is asked for before every answer to a client of the published port.
        {"kind": "neighbour", "address": "172.19.0.1"},
    ],
)
def test_what_stays_within_the_stack_is_no_attempt(event: dict[str, object]) -> None:
    assert find_attempts(event) == ()


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (look_up("models.example.com"), "api-gateway looked up the name models.example.com (once)"),
        (look_up("inference-chat.example.com"), "api-gateway looked up the name inference-chat.example.com (once)"),
        (connect("192.0.2.1"), "api-gateway tried to reach 192.0.2.1:443 by tcp (once)"),
        (connect("2001:db8::1"), "api-gateway tried to reach [2001:db8::1]:443 by tcp (once)"),
        (connect("172.19.0.1", 22), "api-gateway tried to reach 172.19.0.1:22 by tcp (once)"),
        (connect("169.254.169.254", 80), "api-gateway tried to reach 169.254.169.254:80 by tcp (once)"),
        (connect("192.0.2.1", 0, "icmp"), "api-gateway tried to reach 192.0.2.1 by icmp (once)"),
        (connect("unknown", 0, "unreadable"), "api-gateway tried to reach unknown by unreadable (once)"),
        ({"kind": "neighbour", "address": "172.18.0.99"}, "api-gateway tried to reach 172.18.0.99 by link (once)"),
    ],
)
def test_what_leads_out_of_the_stack_is_an_attempt(event: dict[str, object], text: str) -> None:
    (attempt,) = find_attempts(event)
    assert attempt.render_text() == text


def test_a_container_of_the_stack_is_known_to_the_others() -> None:
    other = json.dumps({**READY, "addresses": ["172.18.0.3"]}) + "\n" + json.dumps(END)
    asks = parse_watch("api-gateway", write_watch(connect("172.18.0.3", 8003)))
    assert list_attempts([asks], ()) != ()
    assert list_attempts([asks, parse_watch("inference-embed", other)], ()) == ()


def test_a_name_server_of_the_services_own_choice_is_an_attempt_beside_the_name() -> None:
    found = find_attempts(look_up("inference-chat", "198.51.100.9"), look_up("a.test", "198.51.100.9"))
    assert found == (
        Attempt("api-gateway", AttemptKind.CONNECTION, "198.51.100.9", "udp", 53, 2),
        Attempt("api-gateway", AttemptKind.LOOKUP, "a.test", "dns", 0, 1),
    )


def test_a_neighbour_that_answered_is_told_once_with_its_port() -> None:
    (attempt,) = find_attempts({"kind": "neighbour", "address": "172.18.0.9"}, connect("172.18.0.9", 80))
    assert (attempt.target, attempt.port) == ("172.18.0.9", 80)


def test_the_counts_at_the_end_replace_what_was_told_before() -> None:
    event = connect("192.0.2.1")
    (attempt,) = find_attempts(event, {**event, "count": 7})
    assert attempt.count == 7
    assert "(7 times)" in attempt.render_text()


@pytest.mark.parametrize(
    ("text", "gap"),
    [
        ("", "it never began"),
        (json.dumps(READY), "it broke off"),
        (json.dumps(READY) + '\n{"kind": "end", "dropped": 3}', "dropped 3 packets"),
        (write_watch() + "\nTraceback (most recent call last):", "cannot be read: Traceback"),
        (write_watch() + "\n[1]", "cannot be read"),
        (write_watch() + '\n{"kind": 1}', "cannot be read"),
    ],
)
def test_a_watch_that_may_have_missed_something_is_a_gap(text: str, gap: str) -> None:
    watch = parse_watch("api-gateway", text)
    assert gap in watch.gap
    assert list_gaps([watch]) == (f"the watch over api-gateway: {watch.gap}",)


def test_a_watch_that_broke_off_still_tells_what_it_saw() -> None:
    watch = parse_watch("api-gateway", f"{json.dumps(READY)}\n{json.dumps(connect('192.0.2.1'))}")
    assert [attempt.target for attempt in list_attempts([watch], ())] == ["192.0.2.1"]


def test_a_healthy_quiet_stack_passes() -> None:
    assert PASS.passed
    assert PASS.list_reasons() == ()


def with_row(row: ProbeResult) -> Proof:
    return replace(PASS, health=replace(HEALTHY, results=(*HEALTHY.results, row)))


@pytest.mark.parametrize(
    ("proof", "reason"),
    [
        (replace(PASS, attempts=find_attempts(connect("192.0.2.1"))), "tried to reach 192.0.2.1:443"),
        (replace(PASS, pulled=("alpine:3",)), "alpine:3 was pulled"),
        (replace(PASS, failure="Not ready within 60 s: api-gateway.\n  last lines"), "Not ready within 60 s"),
        (replace(PASS, gaps=("the watch over it: it never began",)), "the observation is not complete"),
        (with_row(ProbeResult("port", "api-gateway", Status.FAILED, "refused")), "port api-gateway: failed, refused"),
        (with_row(ProbeResult("engine", "inference-chat", Status.LOADING, "0 %")), "loading"),
        (with_row(ProbeResult("embeddings", "local-embed", Status.SKIPPED, "no answer")), "embeddings local-embed"),
        (replace(PASS, health=replace(HEALTHY, results=HEALTHY.results[:1])), "no model gave an answer"),
    ],
)
def test_anything_else_does_not_and_says_why(proof: Proof, reason: str) -> None:
    assert not proof.passed
    (found,) = proof.list_reasons()
    assert reason in found
    assert "\n" not in found


def test_a_health_report_passes_through_text_unchanged() -> None:
    assert parse_health(json.loads(json.dumps(render_health(HEALTHY)))) == HEALTHY
