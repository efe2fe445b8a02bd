"""Real gateways that share a real PostgreSQL server: what they share, and what they do while it is away."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from stackctl.errors import RuntimeFailure
from tests.integration.gateway.gates import Gate
from tests.integration.gateway.postgres.shared_gates import (
    BOUND_S,
    Open,
    look,
    report,
    wait_until_away,
    wait_until_back,
)
from tests.postgres_server import Postgres
from tests.waiting import wait_for


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


@pytest.mark.parametrize("outage", ["frozen", "killed"])
def test_a_gateway_starts_without_its_database_and_finds_it_later(
    open_gate: Open, postgres: Postgres, outage: str
) -> None:
    postgres.freeze() if outage == "frozen" else postgres.kill()
    with open_gate() as gate:
        assert gate.ask(gate.gateway.key) == ["200"]
        assert look(gate)["status"] == "unavailable"
        assert "only GATEWAY_KEY and GATEWAY_ADMIN_KEY open this gateway until" in gate.gateway.log.read_text()
        postgres.thaw() if outage == "frozen" else postgres.start()
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
        # Each is waited for: one that still ends would take the gateway's next question with it.
        leave = (
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
            " WHERE datname = %s AND pid <> pg_backend_pid()"
        )
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
        wait_until_back(gate)
        wait_for(lambda: report(gate).get("anna") == 1, "the record")


@pytest.mark.parametrize("outage", ["frozen", "killed"])
def test_a_gateway_that_must_have_its_database_does_not_start_without(
    open_gate: Open, postgres: Postgres, outage: str
) -> None:
    postgres.freeze() if outage == "frozen" else postgres.kill()
    with pytest.raises(RuntimeFailure, match="ended with code 4"), open_gate(GATEWAY_STATE_REQUIRED="true"):
        pass


def test_a_gateway_that_stops_while_its_database_is_frozen_ends_and_says_what_it_lost(
    open_gate: Open, postgres: Postgres
) -> None:
    with open_gate() as gate:
        key = gate.create("anna")
        postgres.freeze()
        assert gate.ask(key) == ["200"]
        os.kill(gate.gateway.pid, signal.SIGTERM)
        log = gate.gateway.log
        wait_for(lambda: "Finished server process" in log.read_text(), "its end", BOUND_S)
        assert "1 records of usage were lost" in log.read_text()


def test_keys_that_a_file_holds_are_said_to_be_unused(open_gate: Open, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "gateway.db").write_bytes(b"")
    with open_gate("one") as one:
        assert "gateway.db are not used: the gateway's state is in PostgreSQL" in one.gateway.log.read_text()
