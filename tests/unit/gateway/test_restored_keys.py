"""A copy of the state that was put back: it is noticed, and its keys are marked."""

from __future__ import annotations

import time
from pathlib import Path

import orjson
from gateway.administer import administer
from gateway.policy.keyring import KeyRing
from gateway.state.restored import MARK_NAME, note_restored

from tests.unit.gateway.key_state import State


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
