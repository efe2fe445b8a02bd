"""Keys: what is given out, what of it is kept, what opens the gate, and what each action refuses."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from gateway.admin.actions import ACTIONS, parse_order
from gateway.administer import administer
from gateway.errors import RefusedError
from gateway.policy.access import find_caller
from gateway.policy.keyring import KeyRing
from gateway.policy.refresher import KeyReader
from gateway.settings import parse_settings
from gateway.state.database import Database, Place, prepare
from gateway.state.keys import read_revision
from gateway.state.restored import MARK_NAME, note_restored
from gateway.state.schema import migrate
from gateway.state.values import Caller
from hypothesis import given
from hypothesis import strategies as st

from tests.gateway_calls import ADMIN, CLIENT, ENVIRONMENT

SETTINGS = parse_settings(ENVIRONMENT)
DAY_S = 86_400.0


class State:
    """A database, asked as the admin route asks it."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.database = Database(place)
        self.reader = KeyReader(place)

    @property
    def path(self) -> Path:
        assert isinstance(self.place, Path)
        return self.place

    def dump(self) -> bytes:
        """All that the database holds."""
        return b"".join(file.read_bytes() for file in self.path.parent.iterdir())

    def do(self, action: str, /, **fields: Any) -> Any:
        order = parse_order({"do": action, **fields})
        run = self.database.write_here if ACTIONS[action].writes else self.database.read_here
        return orjson.loads(orjson.dumps(run(order.job)))

    def fail(self, action: str, /, **fields: Any) -> tuple[int, str, str | None]:
        with pytest.raises(RefusedError) as caught:
            self.do(action, **fields)
        error = caught.value.error
        return error.status, error.code, error.param

    @property
    def ring(self) -> KeyRing:
        return KeyRing(self.database.read_here(self.reader.read)[1])

    def ask(self, sent: str | bytes, now: float | None = None) -> Caller | str:
        """Who may call with this key; or why nobody may."""
        sent = sent.encode() if isinstance(sent, str) else sent
        try:
            return find_caller([(b"x-api-key", sent)], SETTINGS, self.ring, time.time() if now is None else now)
        except RefusedError as refusal:
            return refusal.error.code if refusal.error.status == 401 else str(refusal.error)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    state = State(prepare(tmp_path))
    yield state
    state.database.close_here()


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


def test_a_stopped_gateways_twin_answers_as_the_route_does(tmp_path: Path) -> None:
    status, body = administer(b'{"do": "keys.create", "name": "a"}', {"GATEWAY_STATE": str(tmp_path / "new")})
    assert status == 200
    assert b'"secret":"sk-' in body
    assert administer(b'{"do": "keys.create", "name": "a"}', {"GATEWAY_STATE": str(tmp_path / "new")})[0] == 409
    status, body = administer(b'{"do": "keys.list"}', {"GATEWAY_STATE": str(tmp_path / "new")})
    assert (status, b'"name":"a"' in body) == (200, True)


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [(b"", 400, b"invalid_json"), (b"[]", 400, b"invalid_json"), (b'{"do": 1}', 400, b"invalid_parameter")],
)
def test_the_twin_refuses_what_is_no_action(tmp_path: Path, sent: bytes, status: int, code: bytes) -> None:
    refused, body = administer(sent, {"GATEWAY_STATE": str(tmp_path)})
    assert (refused, code in body) == (status, True)
    assert list(tmp_path.iterdir()) == []


def test_the_twin_says_what_it_misses(tmp_path: Path) -> None:
    assert administer(b'{"do": "keys.list"}', {})[0] == 503
    (tmp_path / "gateway.db").write_bytes(b"not a database" * 100)
    status, body = administer(b'{"do": "keys.list"}', {"GATEWAY_STATE": str(tmp_path)})
    assert (status, b"state_unavailable" in body, b"damaged" in body) == (503, True, True)
    assert (tmp_path / "gateway.db").read_bytes().startswith(b"not a database")


def copy_back(state: State, content: bytes) -> None:
    """Put a copy of the database back, as a person does while the gateway is stopped."""
    state.database.close_here()
    state.path.write_bytes(content)


def take_copy(state: State) -> bytes:
    state.database.close_here()
    return state.path.read_bytes()


def test_an_older_copy_is_noticed_and_its_keys_are_marked_until_they_are_settled(state: State) -> None:
    for name in ("kept", "revoked", "rotated"):
        state.do("keys.create", name=name)
    copy = take_copy(state)
    state.do("keys.revoke", name="revoked")
    assert isinstance(state.ring, KeyRing)  # a worker has seen it
    copy_back(state, copy)
    assert note_restored(state.path, time.time()) == 1
    assert note_restored(state.path, time.time()) == 0
    since = {key["name"]: key["unknown_since"] for key in state.do("keys.list")["keys"]}
    assert set(since) == {"kept", "revoked", "rotated"}
    assert None not in since.values()
    state.do("keys.rotate", name="rotated", grace_s=0)
    state.do("keys.revoke", name="revoked")
    state.do("keys.create", name="new")
    known = {key["name"]: key["unknown_since"] is None for key in state.do("keys.list", revoked=True)["keys"]}
    assert known == {"kept": False, "revoked": True, "rotated": True, "new": True}


def test_the_newest_state_is_no_older_copy(state: State) -> None:
    assert note_restored(state.path, time.time()) == 0
    state.do("keys.create", name="a")
    assert isinstance(state.ring, KeyRing)
    state.do("keys.revoke", name="a")  # which no worker has seen yet
    assert note_restored(state.path, time.time()) == 0
    assert state.path.with_name(MARK_NAME).read_text() == "1\n"
    state.path.with_name(MARK_NAME).write_text("nonsense")
    assert note_restored(state.path, time.time()) == 0


def test_the_twin_notices_an_older_copy(tmp_path: Path) -> None:
    administer(b'{"do": "keys.create", "name": "a"}', {"GATEWAY_STATE": str(tmp_path)})
    copy = (tmp_path / "gateway.db").read_bytes()
    administer(b'{"do": "keys.revoke", "name": "a"}', {"GATEWAY_STATE": str(tmp_path)})
    (tmp_path / "gateway.db").write_bytes(copy)
    listed = orjson.loads(administer(b'{"do": "keys.list"}', {"GATEWAY_STATE": str(tmp_path)})[1])["keys"]
    assert [(key["name"], key["unknown_since"] is not None) for key in listed] == [("a", True)]
