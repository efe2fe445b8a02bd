"""Real gateways that share a real PostgreSQL server: what they share, and what they do while it is away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from stackctl.adapters.http.stand_in import StandIn, run_stand_in
from stackctl.core.drill.faults import OK
from stackctl.errors import RuntimeFailure
from tests.integration.gateway.drilled import run_gateway
from tests.integration.gateway.gates import Gate
from tests.postgres_server import Postgres, run_postgres
from tests.waiting import wait_for

# A frozen server holds an action up this long, and a busy machine takes its time; no client waits longer.
BOUND_S = 30.0


@pytest.fixture(scope="module")
def provider() -> Iterator[StandIn]:
    with run_stand_in(lambda request, number: OK) as running:
        yield running


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    with run_postgres() as running:
        yield running


Open = Callable[..., AbstractContextManager[Gate]]


@pytest.fixture
def database(postgres: Postgres) -> str:
    return postgres.make_database()


@pytest.fixture
def open_gate(postgres: Postgres, database: str, provider: StandIn, tmp_path: Path) -> Open:
    """Starts gateways, each with a folder of its own, that share one database."""
    url = postgres.build_url(database)

    @contextmanager
    def open_one(name: str = "one", workers: int = 1, **environment: str) -> Iterator[Gate]:
        parameters = {"api_base": f"{provider.url}/v1", "api_key": "k", "model": "openai/chat"}
        own = {
            "providers": {"engine": {"kind": "engine", "local": True}},
            "models": {"chat": {"provider": "engine"}},
        }
        settings = {
            "GATEWAY_STATE": str(tmp_path / name),
            "GATEWAY_DATABASE_URL": url,
            "GATEWAY_WORKERS": str(workers),
            **environment,
        }
        configuration = json.dumps(
            {"model_list": [{"model_name": "chat", "litellm_params": parameters}], "gateway": own}
        )
        with ExitStack() as stack, run_gateway(configuration, **settings) as gateway:
            yield Gate(gateway, workers, stack)

    return open_one


def look(gate: Gate) -> dict[str, Any]:
    """What /health says of the state, with the admin key."""
    answer = gate.clients[0].get("/health", headers={"x-api-key": gate.gateway.admin_key})
    found: dict[str, Any] = answer.json()["state"]
    return found


def report(gate: Gate) -> dict[str, int]:
    """Requests by key, as the database has them."""
    rows = gate.order(do="usage.report").json()["rows"]
    return {row["name"]: row["requests"] for row in rows}


def wait_until_away(gate: Gate) -> None:
    wait_for(lambda: look(gate)["status"] == "unavailable", "the gateway to notice")


def wait_until_back(gate: Gate) -> None:
    wait_for(lambda: look(gate)["status"] == "ok", "the database to be used again")


def test_gateways_share_keys_their_ends_and_their_usage(open_gate: Open) -> None:
    with open_gate("one", 2) as one, open_gate("two") as two:
        key = one.create("anna")
        one.wait_for(key, "200")
        two.wait_for(key, "200")
        before = time.monotonic()
        one.order(do="keys.revoke", name="anna")
        two.wait_for(key, "invalid_api_key")
        assert time.monotonic() - before < BOUND_S
        shared = two.create("both")
        one.wait_for(shared, "200")
        asked = [one.ask(shared), two.ask(shared)]
        assert {answer for answers in asked for answer in answers} == {"200"}
        wait_for(lambda: report(one).get("both", 0) >= 3 and report(one) == report(two), "one report of both")


def test_gateways_count_a_budget_together(open_gate: Open) -> None:
    with open_gate("one") as one, open_gate("two") as two:
        key = one.create("anna", budget_tokens=3_000)
        two.wait_for(key, "200")

        def use_up(gate: Gate) -> bool:
            return gate.ask(key) == ["budget_exceeded"]

        wait_for(lambda: use_up(one), "the end of the budget at one")
        # What is left at the other is less than one look's worth of requests, however much the first one took.
        wait_for(lambda: use_up(two), "the end of the budget at the other")
        rows = {row["name"]: row for row in one.order(do="usage.report").json()["rows"]}
        assert rows["anna"]["prompt_tokens"] + rows["anna"]["completion_tokens"] < 2 * 3_000


@pytest.mark.parametrize("outage", ["frozen", "killed"])
def test_no_request_waits_for_a_database_that_is_away_and_nothing_is_lost(
    open_gate: Open, postgres: Postgres, outage: str
) -> None:
    with open_gate() as gate:
        key = gate.create("anna")
        budgeted = gate.create("with a budget", budget_tokens=10**9)
        gate.ask(key)
        wait_for(lambda: report(gate) == {"anna": 1}, "the first record")
        postgres.freeze() if outage == "frozen" else postgres.kill()
        slowest = 0.0
        for _ in range(30):
            for sent in (key, budgeted):
                before = time.monotonic()
                assert gate.ask(sent) == ["200"]
                slowest = max(slowest, time.monotonic() - before)
        assert slowest < BOUND_S / 10
        wait_until_away(gate)
        assert set(gate.ask(key) + gate.ask(gate.gateway.key)) == {"200"}
        before = time.monotonic()
        refused = gate.order(do="keys.create", name="b")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "state_unavailable")
        assert time.monotonic() - before < BOUND_S
        assert gate.ask("sk-" + "a" * 10 + "-" + "b" * 43) == ["invalid_api_key"]
        wait_for(lambda: look(gate)["usage_waiting"] >= 62, "the records that wait to be said")
        assert "reason" not in gate.clients[0].get("/health", headers={"x-api-key": key}).json()["state"]
        postgres.thaw() if outage == "frozen" else postgres.start()
        wait_until_back(gate)
        wait_for(lambda: report(gate).get("anna") == 32, "every record")
        assert report(gate) == {"anna": 32, "with a budget": 30, "client": 1}
        assert look(gate)["usage_lost"] == 0
        assert gate.order(do="keys.create", name="b").status_code == 200
        gate.order(do="keys.revoke", name="anna")
        gate.wait_for(key, "invalid_api_key")
        log = gate.gateway.log.read_text()
        assert "the keys cannot be read again, and those known stay" in log
        assert "usage is written again; 0 records were lost" in log


def test_a_server_that_is_killed_and_started_under_load_loses_no_record_and_doubles_none(
    open_gate: Open, postgres: Postgres
) -> None:
    with open_gate(workers=2) as gate:
        key = gate.create("anna")
        known = {"authorization": f"Bearer {key}"}
        for client in gate.clients:  # which asks no model and is no record
            wait_for(lambda c=client: c.get("/v1/models", headers=known).status_code == 200, "the key")  # type: ignore[misc]

        def ask(client: httpx.Client) -> list[str]:
            return [gate._ask(client, key, "chat") for _ in range(200)]

        with ThreadPoolExecutor(3) as pool:
            asked = [pool.submit(ask, client) for client in gate.clients]
            postgres.kill()
            postgres.start()
            assert {answer for answers in asked for answer in answers.result()} == {"200"}
        wait_until_back(gate)
        wait_for(lambda: report(gate).get("anna", 0) >= 400, "every record")
        assert report(gate) == {"anna": 400}


def test_a_gateway_starts_without_its_database_and_finds_it_later(open_gate: Open, postgres: Postgres) -> None:
    postgres.kill()
    with open_gate() as gate:
        assert gate.ask(gate.gateway.key) == ["200"]
        assert look(gate)["status"] == "unavailable"
        assert "only GATEWAY_KEY and GATEWAY_ADMIN_KEY open this gateway until" in gate.gateway.log.read_text()
        postgres.start()
        wait_until_back(gate)
        key = gate.create("anna")
        assert gate.ask(key) == ["200"]
        wait_for(lambda: report(gate).get("client") == 1, "the record from before the database was there")


def test_a_copy_that_was_put_back_is_noticed_also_where_the_gateway_ran_meanwhile(
    open_gate: Open, postgres: Postgres, database: str, tmp_path: Path
) -> None:
    with open_gate() as gate:
        key = gate.create("anna")
        gate.create("bert")
        wait_for(
            lambda: "2" in [mark.read_text().strip() for mark in (tmp_path / "one").glob("*.revision*")], "the mark"
        )
        postgres.run("DELETE FROM gateway.secrets USING gateway.keys WHERE key = keys.id AND name = 'bert'", database)
        postgres.run("DELETE FROM gateway.keys WHERE name = 'bert'", database)
        postgres.run("UPDATE gateway.facts SET value = '1' WHERE name = 'keys_revision'", database)
        wait_for(lambda: [item["name"] for item in gate.order(do="keys.list").json()["keys"]] == ["anna"], "the copy")
        gate.wait_for(key, "200")
    with open_gate() as gate:
        assert "is an older copy that misses 1 changes" in gate.gateway.log.read_text()
        (listed,) = gate.order(do="keys.list").json()["keys"]
        assert listed["unknown_since"] is not None


def test_a_database_that_takes_no_writes_keeps_usage_waiting(
    open_gate: Open, postgres: Postgres, database: str
) -> None:
    """As a standby does, or one whose disk is full."""
    with open_gate() as gate:
        key = gate.create("anna")
        leave = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
        postgres.run(f"ALTER DATABASE {database} SET default_transaction_read_only = on", "postgres")
        postgres.run(leave, "postgres", database)
        assert gate.ask(key) == ["200"]
        refused = gate.order(do="keys.create", name="b")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "state_unavailable")
        assert "read-only" in refused.json()["error"]["message"]
        wait_for(lambda: look(gate)["usage_waiting"] >= 1, "a record that waits")
        assert gate.order(do="keys.list").status_code == 200
        postgres.run(f"ALTER DATABASE {database} RESET default_transaction_read_only", "postgres")
        postgres.run(leave, "postgres", database)
        wait_for(lambda: report(gate).get("anna") == 1, "the record")


@pytest.mark.parametrize("outage", ["frozen", "killed"])
def test_a_gateway_that_must_have_its_database_does_not_start_without(
    open_gate: Open, postgres: Postgres, outage: str
) -> None:
    postgres.freeze() if outage == "frozen" else postgres.kill()
    with pytest.raises(RuntimeFailure, match="ended with code 4"), open_gate(GATEWAY_STATE_REQUIRED="true"):
        pass


@pytest.mark.parametrize("wrong", ["password", "database", "authority", "file"])
def test_what_is_wrong_is_said_without_the_password(
    open_gate: Open, postgres: Postgres, tmp_path: Path, wrong: str
) -> None:
    name = postgres.make_database()
    url, more, said = {
        "password": (postgres.build_url(name, "planted-wrong"), {}, "password authentication failed"),
        "database": (postgres.build_url("nowhere"), {}, 'database "nowhere" does not exist'),
        "authority": (postgres.build_url(name, options="?sslmode=verify-full"), {}, "certificate"),
        "file": (
            postgres.build_url(name, ""),
            {"GATEWAY_DATABASE_PASSWORD_FILE": "/nowhere/x"},
            "/nowhere/x cannot be",
        ),
    }[wrong]
    gate = open_gate(GATEWAY_STATE_REQUIRED="true", GATEWAY_DATABASE_URL=url, **more)
    with pytest.raises(RuntimeFailure, match="ended with code 4") as caught, gate:
        pass
    assert said in caught.value.message
    assert "planted" not in caught.value.message
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and b"planted" in file.read_bytes()]


def test_the_connection_is_encrypted_and_the_servers_name_checked(
    open_gate: Open, postgres: Postgres, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{postgres.password}\n")
    name = postgres.make_database()
    verified = {
        "GATEWAY_DATABASE_URL": postgres.build_url(name, "", "?sslmode=verify-full"),
        "GATEWAY_DATABASE_PASSWORD_FILE": str(secret),
        "GATEWAY_CA_BUNDLE": str(postgres.authority),
        "GATEWAY_STATE_REQUIRED": "true",
    }
    with open_gate(**verified) as gate:
        gate.create("anna")
        query = "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE datname = %s"
        assert postgres.run(query, "postgres", name) == [(True,)]
    other = verified["GATEWAY_DATABASE_URL"].replace("127.0.0.1", "db.example") + "&hostaddr=127.0.0.1"
    refused = open_gate(**{**verified, "GATEWAY_DATABASE_URL": other})
    with pytest.raises(RuntimeFailure, match="does not match host name"), refused:
        pass


def test_the_password_and_every_secret_are_found_nowhere(open_gate: Open, postgres: Postgres, tmp_path: Path) -> None:
    with open_gate(workers=2, GATEWAY_LOG_LEVEL="debug") as gate:
        sent = gate.create("anna")
        gate.wait_for(sent, "200")
        postgres.freeze()
        wait_until_away(gate)
        answers = [gate.order(do="keys.list").text, json.dumps(look(gate))]
        postgres.thaw()
        wait_until_back(gate)
        wait_for(lambda: report(gate).get("anna"), "a record")
        postgres.kill()
        wait_until_away(gate)
        answers.append(gate.order(do="keys.create", name="b").text)
        os.kill(gate.workers[0], signal.SIGABRT)
        wait_for(lambda: "is replaced" in gate.gateway.log.read_text(), "another worker")
        answers.append(gate.clients[1].get("/metrics", headers={"x-api-key": gate.gateway.admin_key}).text)
        commands = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        kept = [file.read_text(errors="replace") for file in (tmp_path / "one").iterdir() if file.is_file()]
        places = [gate.gateway.log.read_text(), commands, *answers, *kept]
    assert not [place for place in places if postgres.password in place]
    assert not [place for place in places if sent.split("-", 2)[2] in place]
