"""Passwords of a real PostgreSQL server, and its TLS: what is wrong is said, and what is secret is nowhere."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from stackctl.errors import RuntimeFailure
from tests.integration.gateway.postgres.shared_gates import (
    Open,
    look,
    report,
    wait_until_away,
    wait_until_back,
)
from tests.postgres_server import Postgres
from tests.waiting import wait_for


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
