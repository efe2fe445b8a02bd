"""Keys at real gateways of one and of three workers: when they begin and end, two operators, and where secrets are."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from stackctl.adapters.http.stand_in import StandIn, run_stand_in
from stackctl.core.drill.faults import OK
from tests.integration.gateway.drilled import SOURCE, find_gateway_python, run_gateway
from tests.integration.gateway.gates import CHAT, TIMEOUT_S, Gate
from tests.postgres_server import Postgres, run_postgres
from tests.waiting import wait_for


@pytest.fixture(scope="module")
def provider() -> Iterator[StandIn]:
    with run_stand_in(lambda request, number: OK) as running:
        yield running


Open = Callable[..., Any]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with run_postgres() as running:
        yield running


@pytest.fixture(params=[1, 3], ids=["one worker", "three workers"])
def workers(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def open_file_gate(workers: int, provider: StandIn, tmp_path: Path) -> Open:
    """Starts gateways that share a state folder, one after the other."""
    return build_open(workers, provider, {"GATEWAY_STATE": str(tmp_path / "state")})


@pytest.fixture(params=["file", "server"])
def open_gate(request: pytest.FixtureRequest, workers: int, provider: StandIn, tmp_path: Path) -> Open:
    """The same with a state that is a SQLite file, and with one in PostgreSQL."""
    state = {"GATEWAY_STATE": str(tmp_path / "state")}
    if request.param == "server":
        postgres = request.getfixturevalue("postgres")
        state["GATEWAY_DATABASE_URL"] = postgres.build_url(postgres.make_database())
    return build_open(workers, provider, state)


def build_open(workers: int, provider: StandIn, state: dict[str, str]) -> Open:
    @contextmanager
    def open_one(**environment: str) -> Iterator[Gate]:
        parameters = {"api_base": f"{provider.url}/v1", "api_key": "k"}
        models = [
            {"model_name": name, "litellm_params": {**parameters, "model": f"openai/{name}"}}
            for name in ("chat", "cloud")
        ]
        own = {
            "providers": {"engine": {"kind": "engine", "local": True}, "cloud": {"kind": "openai"}},
            "models": {"chat": {"provider": "engine"}, "cloud": {"provider": "cloud"}},
        }
        settings = {**state, "GATEWAY_WORKERS": str(workers), **environment}
        configuration = json.dumps({"model_list": models, "gateway": own})
        with ExitStack() as stack, run_gateway(configuration, **settings) as gateway:
            yield Gate(gateway, workers, stack)

    open_one.state = state  # type: ignore[attr-defined]
    return open_one


def run_twin(state: dict[str, str], **body: Any) -> dict[str, Any]:
    """What stackctl runs while the gateway is stopped."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE), **state}
    command = [find_gateway_python(), "-m", "gateway.administer"]
    done = subprocess.run(command, env=environment, input=json.dumps(body), capture_output=True, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_a_key_begins_and_ends_at_every_worker_without_a_restart(open_gate: Open) -> None:
    with open_gate() as gate:
        key = gate.create("anna")
        assert set(gate.ask(key)) == {"200"}
        assert gate.order(gate.clients[-1], do="keys.revoke", name="anna").status_code == 200
        assert gate.ask(key)[-1] == "invalid_api_key"
        gate.wait_for(key, "invalid_api_key")
        assert set(gate.ask(gate.gateway.key)) == {"200"}


def test_what_a_key_may_changes_at_every_worker(open_gate: Open) -> None:
    with open_gate() as gate:
        key = gate.create("anna", models=["cloud"])
        gate.wait_for(key, "model_not_allowed")
        gate.order(do="keys.change", name="anna", models=None)
        gate.wait_for(key, "200")
        assert set(gate.ask(key, "cloud")) == {"200"}
        gate.order(do="keys.change", name="anna", local_only=True)
        wait_for(lambda: set(gate.ask(key, "cloud")) == {"no_local_target"}, "local models alone")
        gate.order(do="keys.change", name="anna", expires_at=time.time() + 0.5)
        gate.wait_for(key, "key_expired")


def test_a_rotated_key_has_both_secrets_at_every_worker_until_the_old_one_ends(open_gate: Open) -> None:
    with open_gate() as gate:
        old = gate.create("anna")
        new = gate.order(do="keys.rotate", name="anna", grace_s=3600).json()["secret"]
        gate.wait_for(new, "200")
        assert set(gate.ask(old)) == {"200"}
        newest = gate.order(do="keys.rotate", name="anna", grace_s=0).json()["secret"]
        gate.wait_for(newest, "200")
        assert set(gate.ask(old) + gate.ask(new)) == {"invalid_api_key"}


def test_two_operators_at_once_get_one_key_of_a_name_and_lose_none(open_gate: Open) -> None:
    with open_gate() as gate:
        names = [f"both-{number}" for number in range(20)]

        def create(client: httpx.Client, own: str) -> list[int]:
            mine = [f"{own}-{number}" for number in range(20)]
            return [
                gate.order(client, do="keys.create", name=name).status_code
                for pair in zip(names, mine, strict=True)
                for name in pair
            ]

        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(create, [gate.clients[0], gate.clients[-1]], ["first", "second"])
        assert [sorted(pair) for pair in zip(first[::2], second[::2], strict=True)] == [[200, 409]] * 20
        assert set(first[1::2] + second[1::2]) == {200}
        listed = [key["name"] for key in gate.order(do="keys.list").json()["keys"]]
        assert sorted(listed) == sorted(
            names + [f"{own}-{number}" for own in ("first", "second") for number in range(20)]
        )


def test_a_secret_is_shown_once_and_is_nowhere_else(open_file_gate: Open, tmp_path: Path) -> None:
    with open_file_gate(GATEWAY_LOG_LEVEL="debug") as gate:
        made = gate.create("anna", note="a note")
        rotated = gate.order(do="keys.rotate", name="anna").json()["secret"]
        gate.wait_for(rotated, "200")
        gate.order(do="keys.show", name=rotated)
        gate.order(do="keys.create", name="b", secret=rotated)
        gate.ask(made + "x")
        answers = [gate.order(do="keys.list").text, gate.order(do="keys.show", name="anna").text]
        metrics = gate.clients[0].get("/metrics", headers={"x-api-key": gate.gateway.admin_key}).text
        log = gate.gateway.log.read_text()
        files = [file.read_bytes().decode("latin-1") for file in (tmp_path / "state").iterdir()]
        assert len(files) == 4
        for sent in (made, rotated):
            secret = sent.split("-", 2)[2]
            assert not [text for text in (*answers, metrics, log, *files) if secret in text]
        assert '"key":"anna"' in log
        assert '"action":"keys.rotate"' in log


def test_keys_outlive_the_gateway_and_can_be_made_while_it_is_stopped(open_gate: Any) -> None:
    early = run_twin(open_gate.state, do="keys.create", name="early")["body"]["secret"]
    with open_gate() as gate:
        assert set(gate.ask(early)) == {"200"}
        late = gate.create("late")
    assert run_twin(open_gate.state, do="keys.create", name="late")["status"] == 409
    assert run_twin(open_gate.state, do="keys.revoke", name="early")["status"] == 200
    with open_gate() as gate:
        assert set(gate.ask(late)) == {"200"}
        assert set(gate.ask(early)) == {"invalid_api_key"}
        run_twin(open_gate.state, do="keys.revoke", name="late")
        gate.wait_for(late, "invalid_api_key")


def test_keys_that_are_none_are_refused_and_the_next_request_is_served(open_gate: Open) -> None:
    with open_gate() as gate:
        key = gate.create("anna")
        gate.wait_for(key, "200")
        wrong = ["", "sk-", key[:-1], key + "x", key.upper(), "sk-" + "a" * 10 + "-" + "b" * 43, "x" * 50_000]
        for sent in [text.encode() for text in wrong] + ["sk-ключ".encode(), b"\xff" * 57]:
            for client in gate.clients:
                refused = client.post(CHAT, content=b"{}", headers=[(b"x-api-key", sent)])
                assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
        assert set(gate.ask(key)) == {"200"}


def test_a_worker_that_is_started_again_knows_the_keys(open_gate: Open) -> None:
    with open_gate() as gate:
        if len(gate.workers) == 1:
            return
        key = gate.create("anna")
        gate.wait_for(key, "200")
        before = gate.workers
        os.kill(before[0], signal.SIGKILL)
        wait_for(lambda: len(found := gate.workers) == 3 and set(found) != set(before), "a new worker")
        gate.clients = gate._connect()
        assert set(gate.ask(key)) == {"200"}


def test_keys_that_are_known_stay_while_the_database_does_not_answer(open_file_gate: Open, tmp_path: Path) -> None:
    database = tmp_path / "state" / "gateway.db"
    with open_file_gate() as gate:
        key = gate.create("anna")
        gate.wait_for(key, "200")
        rename(database, keys="keys_away", facts="facts_away")
        for refused in (gate.order(do="keys.list"), gate.order(do="keys.create", name="b")):
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "state_unavailable")
        wait_for(lambda: "the keys cannot be read again" in gate.gateway.log.read_text(), "the log to say so")
        assert set(gate.ask(key)) == {"200"}
        rename(database, keys_away="keys", facts_away="facts")
        gate.order(do="keys.revoke", name="anna")
        gate.wait_for(key, "invalid_api_key")


def rename(database: Path, **tables: str) -> None:
    connection = sqlite3.connect(database, timeout=TIMEOUT_S)
    for name, new in tables.items():
        connection.execute(f"ALTER TABLE {name} RENAME TO {new}")
    connection.close()


def test_an_older_copy_that_was_put_back_is_said_in_the_log_and_in_the_list(
    open_file_gate: Open, tmp_path: Path
) -> None:
    database = tmp_path / "state" / "gateway.db"
    with open_file_gate() as gate:
        key = gate.create("anna")
    copy = database.read_bytes()
    with open_file_gate() as gate:
        assert "an older copy" not in gate.gateway.log.read_text()
        gate.order(do="keys.revoke", name="anna")
    database.write_bytes(copy)
    with open_file_gate() as gate:
        assert "an older copy that misses 1 changes" in gate.gateway.log.read_text()
        listed = gate.order(do="keys.list").json()["keys"]
        assert [(item["name"], item["unknown_since"] is not None) for item in listed] == [("anna", True)]
        gate.order(do="keys.revoke", name="anna")
        gate.wait_for(key, "invalid_api_key")
