"""How a gateway gets at its Redis: passwords, files that hold them, addresses and certificates."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.certificates import make_company
from tests.integration.gateway.limited import give_key
from tests.integration.gateway.shared.shared_gates import Open, ask, look, make_folder, read_log, wait_shared
from tests.redis_server import PASSWORD, RedisServer, run_redis


def test_a_wrong_password_is_said_and_stands_nowhere(open_gate: Open, redis: RedisServer, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("planted-wrong-password\n")
    wrong = {"GATEWAY_REDIS_PASSWORD": "", "GATEWAY_REDIS_PASSWORD_FILE": str(file)}
    with open_gate("a", redis, **wrong) as gate:
        assert look(gate)["reason"] == "refused the password (WRONGPASS)"
        assert "planted" not in read_log(gate) + json.dumps(look(gate))
        assert b"planted" not in Path(f"/proc/{gate.gateway.pid}/cmdline").read_bytes()
        file.write_text(f"{PASSWORD}\n")  # read again with each try
        wait_shared(gate)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "has a password file that cannot be read: No such file or directory"),
        (b"\xff\xfe", "has a password file that cannot be read: it is no text"),
    ],
)
def test_a_gateway_starts_without_its_password_file(
    open_gate: Open, redis: RedisServer, tmp_path: Path, content: bytes | None, reason: str
) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    wrong = {"GATEWAY_REDIS_PASSWORD": "", "GATEWAY_REDIS_PASSWORD_FILE": str(file)}
    with open_gate("a", redis, **wrong) as gate:
        assert look(gate)["reason"] == reason
        file.write_text(f"{PASSWORD}\n")
        wait_shared(gate)


def test_a_gateway_starts_with_a_host_that_is_no_name(open_gate: Open, redis: RedisServer) -> None:
    with open_gate("a", redis, GATEWAY_REDIS_URL="redis://redis..example") as gate:
        assert look(gate)["reason"] == "cannot be reached: its address has no name of a host"
        assert ask(gate).status_code == 200


def test_without_a_password_it_is_said_that_one_is_wanted(open_gate: Open, redis: RedisServer) -> None:
    with open_gate("a", redis, GATEWAY_REDIS_PASSWORD="") as gate:
        assert look(gate)["reason"] == "refused the password (NOAUTH)"


def test_tls_is_checked_by_the_company_s_authority(open_gate: Open, tmp_path: Path) -> None:
    company = make_company(tmp_path)
    with run_redis(make_folder(tmp_path, "redis"), tmp_path / "server.pem", company.authority) as server:
        with open_gate("a", server, GATEWAY_CA_BUNDLE=str(company.authority)) as gate:
            assert look(gate)["status"] == "ok"
            key = give_key(gate, requests_per_minute=1)
            assert [ask(gate, key).status_code for _ in range(2)] == [200, 429]
        with open_gate("b", server) as gate:
            assert look(gate)["reason"].startswith("has a certificate that is not trusted")
        plain = server.url.replace("rediss", "redis")
        with open_gate("c", server, GATEWAY_REDIS_URL=plain) as gate:
            assert look(gate)["status"] == "away"
