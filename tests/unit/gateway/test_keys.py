"""Keys: what is given out, what of it is kept, and what each action refuses."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from gateway.admin.actions import parse_order
from gateway.errors import RefusedError
from gateway.state.keys import read_revision
from gateway.state.values import Caller

from tests.unit.gateway.key_state import DAY_S, State


def test_a_key_is_given_out_with_all_it_may(state: State) -> None:
    terms = {
        "models": ["local-*", "claude-sonnet"],
        "requests_per_minute": 60,
        "tokens_per_minute": 100_000,
        "parallel_requests": 4,
        "budget_tokens": 2_000_000,
        "budget_period": "month",
        "local_only": True,
        "note": "the build server",
    }
    end = time.time() + DAY_S
    made = state.do("keys.create", name="build", expires_at=end, **terms)
    assert re.fullmatch(r"sk-[a-z2-7]{10}-[A-Za-z0-9_-]{43}", made["secret"])
    key = made["key"]
    assert {name: key[name] for name in terms} == terms
    assert (key["name"], key["expires_at"], key["revoked_at"]) == ("build", end, None)
    assert [item["id"] for item in key["secrets"]] == [made["secret"].split("-")[1]]
    assert state.do("keys.show", name="build") == {"key": key}
    assert state.do("keys.list") == {"keys": [key]}
    caller = state.ask(made["secret"])
    assert isinstance(caller, Caller)
    assert (caller.name, caller.is_admin, caller.terms.models) == ("build", False, ("local-*", "claude-sonnet"))


def test_of_a_secret_only_its_hash_is_kept(state: State) -> None:
    made = state.do("keys.create", name="a")
    new = state.do("keys.rotate", name="a")["secret"]
    state.do("keys.create", name="b")
    files = state.dump()
    for sent in (made["secret"], new):
        id_, secret = sent.split("-", 2)[1:]
        assert id_.encode() in files
        assert secret.encode() not in files
        assert secret not in repr(state.do("keys.list")) + repr(state.do("keys.show", name="a"))
        assert secret not in repr(state.ask(sent))


def test_a_key_that_says_nothing_may_everything(state: State) -> None:
    unsaid = dict.fromkeys(["models", "budget_period", "budget_tokens", "local_only", "note", "expires_at"])
    key = state.do("keys.create", name="a", **unsaid)["key"]
    assert key["models"] == []
    assert key["budget_period"] == "day"
    limits = ("requests_per_minute", "tokens_per_minute", "parallel_requests", "budget_tokens", "expires_at")
    assert {key[name] for name in limits} == {None}


@pytest.mark.parametrize("name", ["anna", "Jörg Müller", "数据组", "ключ", "a" * 64, "build-server_1 (CI)", "é"])
def test_names_of_people_and_machines_are_taken(state: State, name: str) -> None:
    made = state.do("keys.create", name=f"  {name} ")
    assert made["key"]["name"] == name
    assert state.do("keys.show", name=name)["key"] == made["key"]


def test_a_name_is_the_same_however_its_letters_are_composed(state: State) -> None:
    state.do("keys.create", name="Jo\u0308rg")
    assert state.fail("keys.create", name="J\u00f6rg") == (409, "name_taken", "name")


@pytest.mark.parametrize(
    "name",
    ["", " ", "a\nb", "a\x00", "a\u202eb", "a\u2028b", "a" * 65, "a" * 300, "sk-abc", "SK-abc", "admin", "Client", "-",
     None, 1, ["a"], {}],
)  # fmt: skip
def test_other_names_are_refused_and_not_repeated(state: State, name: Any) -> None:
    assert state.fail("keys.create", name=name) == (400, "invalid_parameter", "name")
    with pytest.raises(RefusedError) as caught:
        state.do("keys.show", name=name)
    if isinstance(name, str) and len(name) > 6:
        assert name not in caught.value.error.message
    assert state.do("keys.list") == {"keys": []}


@pytest.mark.parametrize("field", ["requests_per_minute", "tokens_per_minute", "parallel_requests", "budget_tokens"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "5", 2**53, [], {}])
def test_a_limit_is_a_whole_number_of_at_least_one(state: State, field: str, value: Any) -> None:
    assert state.fail("keys.create", name="a", **{field: value}) == (400, "invalid_parameter", field)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("models", "local-chat"), ("models", [""]), ("models", ["a\nb"]), ("models", [1]), ("models", ["a" * 257]),
        ("models", ["a"] * 101), ("budget_period", "week"), ("local_only", "yes"),
        ("note", "a\nb"), ("note", "a" * 501), ("note", 1), ("expires_at", 0), ("expires_at", "tomorrow"),
        ("expires_at", 1e300), ("expires_at", True), ("rpm", 5), ("secret", "x"), ("id", 1),
    ],
)  # fmt: skip
def test_other_values_and_fields_are_refused(state: State, field: str, value: Any) -> None:
    assert state.fail("keys.create", name="a", **{field: value}) == (400, "invalid_parameter", field)
    assert state.do("keys.list") == {"keys": []}


def test_a_time_that_is_over_is_no_end(state: State) -> None:
    assert state.fail("keys.create", name="a", expires_at=time.time() - 1) == (400, "invalid_parameter", "expires_at")


@pytest.mark.parametrize("body", [{}, {"do": "keys.drop"}, {"do": None}, {"do": ["keys.list"]}, {"do": {}}])
def test_an_action_that_there_is_not_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(RefusedError) as caught:
        parse_order(body)
    assert (caught.value.error.status, caught.value.error.param) == (400, "do")
    assert "keys.create" in caught.value.error.message


def test_a_name_is_given_again_only_after_it_was_revoked(state: State) -> None:
    first = state.do("keys.create", name="a")
    assert state.fail("keys.create", name="a") == (409, "name_taken", "name")
    assert state.do("keys.revoke", name="a")["key"]["revoked_at"] is not None
    second = state.do("keys.create", name="a")
    assert second["key"]["id"] != first["key"]["id"]
    assert state.do("keys.show", name="a")["key"] == second["key"]
    assert [key["id"] for key in state.do("keys.list")["keys"]] == [second["key"]["id"]]
    assert len(state.do("keys.list", revoked=True)["keys"]) == 2


def test_a_change_changes_what_is_sent_and_nothing_else(state: State) -> None:
    sent = state.do("keys.create", name="a", requests_per_minute=5, budget_tokens=7, models=["x"])["secret"]
    changed = state.do("keys.change", name="a", requests_per_minute=None, budget_tokens=9)["key"]
    assert (changed["requests_per_minute"], changed["budget_tokens"], changed["models"]) == (None, 9, ["x"])
    caller = state.ask(sent)
    assert isinstance(caller, Caller)
    assert caller.terms.budget_tokens == 9
    assert state.do("keys.change", name="a", models=None)["key"]["models"] == []


def test_each_change_is_seen_by_the_revision_and_nothing_else_is(state: State) -> None:
    def read() -> int:
        return state.database.read_here(read_revision)

    seen = [read()]
    for action in ("keys.create", "keys.change", "keys.rotate", "keys.revoke"):
        state.do(action, name="a")
        seen.append(read())
        state.do("keys.list")
        state.fail("keys.create", name="")
        assert read() == seen[-1]
    assert seen == sorted(set(seen))
