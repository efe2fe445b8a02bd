"""Secrets of keys: which of them open the gate, and how long."""

from __future__ import annotations

import sqlite3
import time
from typing import Any

import pytest
from gateway.admin.actions import parse_order
from gateway.errors import RefusedError
from gateway.policy.access import find_caller
from gateway.policy.keyring import KeyRing
from gateway.policy.refresher import KeyReader
from gateway.settings import SettingsError, parse_settings
from gateway.state.schema import migrate
from gateway.state.values import Caller
from hypothesis import given
from hypothesis import strategies as st

from tests.gateway_calls import ADMIN, CLIENT, ENVIRONMENT
from tests.unit.gateway.key_state import DAY_S, SETTINGS, State


def test_a_revoked_key_opens_nothing_and_cannot_come_back(state: State) -> None:
    sent = state.do("keys.create", name="a")["secret"]
    state.do("keys.revoke", name="a")
    assert state.ask(sent) == "invalid_api_key"
    # Whatever a clock does.
    assert state.ask(sent, now=0.0) == "invalid_api_key"
    for action in ("keys.revoke", "keys.rotate", "keys.change"):
        assert state.fail(action, name="a") == (404, "not_found", "name")
    assert state.do("keys.show", name="a")["key"]["revoked_at"] is not None
    assert state.fail("keys.show", name="b") == (404, "not_found", "name")


def test_an_expired_key_says_so_only_to_who_has_it(state: State) -> None:
    sent = state.do("keys.create", name="a", expires_at=time.time() + 10)["secret"]
    assert isinstance(state.ask(sent), Caller)
    later = time.time() + 20
    assert state.ask(sent, now=later) == "key_expired"
    assert state.ask(sent[:-1] + ("a" if sent[-1] != "a" else "b"), now=later) == "invalid_api_key"


def test_a_rotated_key_has_two_secrets_until_the_grace_is_over(state: State) -> None:
    old = state.do("keys.create", name="a")["secret"]
    done = state.do("keys.rotate", name="a", grace_s=60)
    now, new = time.time(), done["secret"]
    assert new != old
    ends = [item["ends_at"] for item in done["key"]["secrets"]]
    assert ends[0] == pytest.approx(now + 60, abs=5)
    assert ends[1] is None
    assert [state.ask(sent, now + 50) for sent in (old, new)] == [state.ask(new)] * 2
    assert state.ask(old, now + 61) == "key_expired"
    assert isinstance(state.ask(new, now + 61), Caller)


def test_the_grace_is_a_day_where_nothing_is_said(state: State) -> None:
    old = state.do("keys.create", name="a")["secret"]
    state.do("keys.rotate", name="a")
    now = time.time()
    assert isinstance(state.ask(old, now + DAY_S - 5), Caller)
    assert state.ask(old, now + DAY_S + 1) == "key_expired"


def test_without_a_grace_every_earlier_secret_is_gone_at_once(state: State) -> None:
    first = state.do("keys.create", name="a")["secret"]
    second = state.do("keys.rotate", name="a")["secret"]
    third = state.do("keys.rotate", name="a", grace_s=0)["secret"]
    assert [state.ask(sent, now=0.0) for sent in (first, second)] == ["invalid_api_key"] * 2
    assert isinstance(state.ask(third), Caller)


def test_a_second_rotation_never_makes_an_old_secret_live_longer(state: State) -> None:
    old = state.do("keys.create", name="a")["secret"]
    state.do("keys.rotate", name="a", grace_s=60)
    state.do("keys.rotate", name="a", grace_s=3600)
    assert state.ask(old, time.time() + 120) == "key_expired"


@pytest.mark.parametrize("grace", [-1, 31 * DAY_S, "1", True])
def test_a_grace_is_up_to_thirty_days(state: State, grace: Any) -> None:
    state.do("keys.create", name="a")
    assert state.fail("keys.rotate", name="a", grace_s=grace) == (400, "invalid_parameter", "grace_s")


def test_a_right_key_opens_beside_others_that_are_not(state: State) -> None:
    sent = state.do("keys.create", name="a")["secret"].encode()
    expired = state.do("keys.create", name="b", expires_at=time.time() + 5)["secret"].encode()
    later, ring = time.time() + 10, state.ring

    def find(*keys: bytes) -> Caller:
        return find_caller([(b"x-api-key", key) for key in keys], SETTINGS, ring, later)

    assert find(expired, sent).name == "a"
    assert find(sent, CLIENT.encode()).name == "a"
    assert find(CLIENT.encode(), sent).name == "client"
    assert find(sent, ADMIN.encode()).is_admin
    with pytest.raises(RefusedError):
        find(*[b"wrong"] * 8, sent)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"sk-",
        b"\xff" * 57,
        "sk-ключ".encode(),
        b"x" * 1_000_000,
        b"sk-aaaaaaaaaa-" + b"x" * 1_000_000,
        b"\x00" * 57,
    ],
)
def test_keys_that_are_none_are_401(state: State, sent: bytes) -> None:
    state.do("keys.create", name="a")
    assert state.ask(sent) == "invalid_api_key"


def test_a_right_key_with_anything_more_or_less_is_401(state: State) -> None:
    sent = state.do("keys.create", name="a")["secret"]
    for wrong in (sent[:-1], sent + "x", sent.upper(), sent + "\x00", sent * 2, "x" + sent, sent.replace("sk-", "SK-")):
        assert state.ask(wrong) == "invalid_api_key"


@given(st.binary(max_size=120), st.integers(0, 57))
def test_only_the_secret_itself_finds_a_key(sent: bytes, kept: int) -> None:
    ring, secret = RING
    for tried in (sent, secret[:kept] + sent, sent + secret[kept:]):
        held = ring.find(tried)
        assert (held is not None) == (tried == secret)


def _make_ring() -> tuple[KeyRing, bytes]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    connection.execute("BEGIN")
    made = parse_order({"do": "keys.create", "name": "a"}).job(connection)
    connection.execute("COMMIT")
    ring = KeyRing(KeyReader().read(connection)[1])
    connection.close()
    return ring, made["secret"].encode()


RING = _make_ring()


def test_a_service_of_the_stack_is_known_by_its_own_key_and_is_no_operator(state: State) -> None:
    keys = {"GATEWAY_SERVICE_KEY_CHAT_API": "chat-api-key", "GATEWAY_SERVICE_KEY_AGENTS": ""}
    settings = parse_settings({**ENVIRONMENT, **keys})
    sent = [(b"authorization", b"Bearer chat-api-key")]
    caller = find_caller(sent, settings, state.ring, time.time())
    assert (caller.name, caller.is_admin, caller.key) == ("chat-api", False, None)
    assert find_caller([*sent, (b"x-api-key", ADMIN.encode())], settings, state.ring, time.time()).is_admin
    # An empty variable is nobody's key, and without the variable the key opens nothing.
    with pytest.raises(RefusedError):
        find_caller([(b"x-api-key", b"")], settings, state.ring, time.time())
    assert state.ask("chat-api-key") == "invalid_api_key"
    assert state.fail("keys.create", name="chat-api") == (400, "invalid_parameter", "name")


def test_one_key_for_two_callers_is_refused_without_being_repeated() -> None:
    with pytest.raises(SettingsError, match="GATEWAY_SERVICE_KEY_AGENTS") as caught:
        parse_settings({**ENVIRONMENT, "GATEWAY_SERVICE_KEY_AGENTS": CLIENT})
    assert CLIENT not in str(caught.value)
