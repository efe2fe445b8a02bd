"""``/usage``: what a key is told of itself, and of nobody else."""

from __future__ import annotations

import time
from typing import Any

from gateway.state.usage import UsageSum, add_usage, report_days_of_key

from tests.gateway_calls import ADMIN, CLIENT, StartedGate, build_gate, call, error_of
from tests.unit.gateway.key_state import DAY_S, State
from tests.unit.gateway.test_usage_table import NOON, row


def ask(gate: StartedGate, key: str | None) -> Any:
    response = call(gate, "GET", "/usage", key, headers={"host": "localhost"})
    return response.json() if response.status_code == 200 else error_of(response)["code"]


def fill(state: State, *rows: Any) -> None:
    state.database.write_here(lambda connection: add_usage(connection, rows))


def test_a_key_sees_its_own_days_and_no_other_keys(state: State) -> None:
    secret = state.do("keys.create", name="ann")["secret"]
    now = time.time()
    fill(state, row(now, key="ann"), row(now, key="ann", outcome="queue_full", status=503), row(now, key="bob"))
    told = ask(build_gate(state=state.path), secret)
    assert told["key"] == "ann"
    assert [
        (day["requests"], day["failed"], day["prompt_tokens"], day["completion_tokens"]) for day in told["days"]
    ] == [(2, 1, 20, 4)]
    assert (told["total"]["requests"], told["total"]["prompt_tokens"]) == (2, 20)
    assert "bob" not in str(told)


def test_what_another_key_of_the_same_name_used_before_is_not_its_own(state: State) -> None:
    fill(state, row(time.time() - 60, key="ann"), row(time.time() - 3 * DAY_S, key="ann"))
    secret = state.do("keys.create", name="ann")["secret"]
    assert ask(build_gate(state=state.path), secret)["days"] == []


def test_the_keys_of_the_environment_see_what_was_asked_with_them(state: State) -> None:
    fill(
        state, row(time.time(), key="client"), row(time.time() - 40 * DAY_S, key="client"), row(time.time(), key="ann")
    )
    gate = build_gate(state=state.path)
    assert ask(gate, CLIENT)["total"]["requests"] == 1
    assert ask(gate, ADMIN) == {"key": "admin", "days": [], "total": dict.fromkeys(UsageSum._fields[1:], 0)}


def test_a_key_sees_its_limits_and_how_much_of_its_budget_is_used(state: State) -> None:
    terms = {"requests_per_minute": 5, "budget_tokens": 1000, "budget_period": "month"}
    secret = state.do("keys.create", name="ann", **terms)["secret"]
    fill(state, row(time.time() + 1, key="ann"))
    told = ask(build_gate(state=state.path), secret)
    assert told["limits"] == {"requests_per_minute": 5}
    assert (told["budget"]["tokens"], told["budget"]["used"], told["budget"]["period"]) == (1000, 12, "month")
    assert told["budget"]["ends_at"] > time.time()


def test_nobody_is_told_without_a_key_and_nothing_where_nothing_is_kept(state: State) -> None:
    assert ask(build_gate(state=state.path), None) == "invalid_api_key"
    assert ask(build_gate(), CLIENT) == "state_unavailable"


def test_days_of_a_key_begin_within_a_day(state: State) -> None:
    fill(
        state,
        row(NOON - 60, key="ann"),
        row(NOON, key="ann"),
        row(NOON + DAY_S, key="ann"),
        row(NOON + DAY_S, key="bob"),
    )
    days = state.database.read_here(lambda connection: report_days_of_key(connection, "ann", NOON))
    assert [(day.name, day.requests) for day in days] == [("2024-10-04", 1), ("2024-10-05", 1)]
