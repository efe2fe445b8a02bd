"""What a person or a script sees of ``stackctl keys`` and ``stackctl usage``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stackctl.operations.run.up import run_up
from tests.cli.conftest import Command
from tests.fakes import World, write_env

SECRET = "sk-aaaaaaaaaa-planted"
KEY: dict[str, Any] = {
    "name": "alice",
    "models": ["local-chat"],
    "created_at": 1_800_000_000.0,
    "expires_at": None,
    "revoked_at": None,
    "requests_per_minute": 60,
    "note": "her laptop",
    "secrets": [{"id": "aaaaaaaaaa", "created_at": 1_800_000_000.0, "ends_at": None}],
}
ROW = {"requests": 1200, "failed": 1, "prompt_tokens": 5, "completion_tokens": 7, "cached_tokens": 2, "duration_s": 61}

Answer = Callable[..., World]


@pytest.fixture
def answer(stackctl: Command, site: Path, monkeypatch: pytest.MonkeyPatch) -> Answer:
    """Makes a world whose running gateway answers an action with this body."""

    def make(action: str, **body: Any) -> World:
        world = World(write_env(STACK_RUNTIME="process"))
        run_up(world.effects)
        world.action_answers[action] = {"status": 200, "body": body}
        monkeypatch.setattr("stackctl.cli.world.effects.build_effects", lambda *_: world.effects)
        return world

    return make


def fields(world: World) -> dict[str, object]:
    """What the gateway was asked for last."""
    return {name: value for name, value in world.actions[-1].items() if name not in ("url", "key", "do")}


def test_a_new_key_is_the_only_line_of_the_output(stackctl: Command, answer: Answer) -> None:
    world = answer("keys.create", key=KEY, secret=SECRET)
    limits = ("--models", "local-chat", "--rpm", "60", "--tpm", "100k", "--parallel", 4, "--budget-tokens", "1M/day")
    done = stackctl("keys", "create", "alice", *limits, "--local-only", "--note", "her laptop")
    assert (done.code, done.out) == (0, f"{SECRET}\n")
    assert "models: local-chat; limits: 60 requests/min; valid" in done.err
    assert "shown this once" in done.err
    assert fields(world) == {
        "name": "alice",
        "models": ["local-chat"],
        "requests_per_minute": 60,
        "tokens_per_minute": 100_000,
        "parallel_requests": 4,
        "budget_tokens": 1_000_000,
        "budget_period": "day",
        "local_only": True,
        "note": "her laptop",
    }
    assert stackctl("keys", "create", "alice", "--json").read_json() == {"key": KEY, "secret": SECRET}


def test_what_is_not_said_is_not_sent(stackctl: Command, answer: Answer) -> None:
    world = answer("keys.create", key=KEY, secret=SECRET)
    assert stackctl("keys", "create", "alice").code == 0
    assert fields(world) == {"name": "alice"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--rpm", "0"), "--rpm: '0' is no number"),
        (("--budget-tokens", "5"), "--budget-tokens: '5' is no budget"),
        (("--expires", "2001-01-01"), "--expires: '2001-01-01' is in the past"),
        (("--models", ","), "--models: ',' is no list"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_asked(
    stackctl: Command, answer: Answer, options: tuple[str, ...], said: str
) -> None:
    world = answer("keys.create", key=KEY, secret=SECRET)
    done = stackctl("keys", "create", "alice", *options)
    assert (done.code, done.out, world.actions) == (2, "", [])
    assert said in done.err


def test_the_list_says_what_each_key_may(stackctl: Command, answer: Answer) -> None:
    world = answer("keys.list", keys=[KEY, {**KEY, "name": "bob", "models": [], "expires_at": 5.0, "note": ""}])
    table = stackctl("keys", "list").out.splitlines()
    assert [" ".join(line.split()) for line in table] == [
        "name state models limits created note",
        "alice valid local-chat 60 requests/min 2027-01-15 08:00 UTC her laptop",
        "bob expired 1970-01-01 00:00 UTC all 60 requests/min 2027-01-15 08:00 UTC",
    ]
    assert fields(world) == {"revoked": False}
    assert [key["name"] for key in stackctl("keys", "list", "--all", "--json").read_json()] == ["alice", "bob"]
    assert fields(world) == {"revoked": True}


def test_no_keys_yet(stackctl: Command, answer: Answer) -> None:
    answer("keys.list", keys=[])
    assert "keys create NAME" in stackctl("keys", "list").out


def test_one_key_is_shown_without_its_secret(stackctl: Command, answer: Answer) -> None:
    answer("keys.show", key=KEY)
    shown = stackctl("keys", "show", "alice")
    assert shown.out.splitlines()[0] == "name       alice"
    assert "secret     sk-aaaaaaaaaa-..., since 2027-01-15 08:00 UTC" in shown.out
    assert stackctl("keys", "show", "alice", "--json").read_json() == KEY


def test_change_sends_what_was_named_and_none_takes_away(stackctl: Command, answer: Answer) -> None:
    world = answer("keys.change", key=KEY)
    done = stackctl("keys", "change", "alice", "--rpm", "none", "--no-local-only")
    assert (done.code, "was changed" in done.out) == (0, True)
    assert fields(world) == {"name": "alice", "requests_per_minute": None, "local_only": False}
    nothing = stackctl("keys", "change", "alice")
    assert (nothing.code, "Nothing to change" in nothing.err) == (2, True)


def test_revoke_and_rotate(stackctl: Command, answer: Answer) -> None:
    answer("keys.revoke", key=KEY)
    assert stackctl("keys", "revoke", "alice").out == "key 'alice' opens nothing any more\n"
    world = answer("keys.rotate", key=KEY, secret=SECRET)
    done = stackctl("keys", "rotate", "alice")
    assert (done.out, "works for 24h more" in done.err) == (f"{SECRET}\n", True)
    assert fields(world) == {"name": "alice", "grace_s": 86_400}
    assert "opens nothing" in stackctl("keys", "rotate", "alice", "--grace", "0").err
    assert fields(world)["grace_s"] == 0
    assert stackctl("keys", "rotate", "alice", "--grace", "soon").code == 2


def test_while_the_stack_is_down_it_is_said_whose_state_this_is(
    stackctl: Command, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(write_env(STACK_RUNTIME="process"))
    world.runtimes["process"].action_answers["keys.list"] = {"status": 200, "body": {"keys": [KEY]}}
    monkeypatch.setattr("stackctl.cli.world.effects.build_effects", lambda *_: world.effects)
    done = stackctl("keys", "list")
    assert "alice" in done.out
    assert done.err == "The gateway is stopped; this is its state in the process runtime.\n"


def test_usage_as_a_table_as_json_as_csv_and_as_a_picture(stackctl: Command, answer: Answer, tmp_path: Path) -> None:
    world = answer("usage.report", rows=[{"name": "alice", **ROW}], total=ROW, since=1.0, until=2.0)
    table = stackctl("usage").out.splitlines()
    assert [" ".join(line.split()) for line in table] == [
        "key requests failed prompt answer cached took",
        "alice 1,200 1 5 7 2 1 min 01 s",
        "total 1,200 1 5 7 2 1 min 01 s",
    ]
    asked = fields(world)
    assert (asked["by"], sorted(asked)) == ("key", ["by", "since"])
    assert stackctl("usage", "--csv", "--by", "model").out == (
        '"model","requests","failed","prompt_tokens","completion_tokens","cached_tokens","duration_s"\n'
        '"alice",1200,1,5,7,2,61.0\n'
    )
    assert json.loads(stackctl("usage", "--json").out)["rows"] == [{"name": "alice", **ROW, "duration_s": 61.0}]
    stackctl("usage", "--plot", tmp_path / "used.svg")
    assert world.files[tmp_path / "used.svg"].startswith("<svg ")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--since", "soon"), "--since: 'soon' is neither"),
        (("--since", "2027-01-02", "--until", "2027-01-01"), "--until: '2027-01-01' is not after"),
        (("--json", "--csv"), "exclude each other"),
        (("--by", "user"), "'user' is not one of"),
    ],
)
def test_a_span_that_makes_no_sense_is_refused(
    stackctl: Command, answer: Answer, options: tuple[str, ...], said: str
) -> None:
    world = answer("usage.report", rows=[], total={})
    done = stackctl("usage", *options)
    assert (done.code, world.actions) == (2, [])
    assert said in done.err
