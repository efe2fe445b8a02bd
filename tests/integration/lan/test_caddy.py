"""The real Caddy with the configuration that is rendered for it, in front of a gateway that is not there."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from stackctl.core.lan.caddy import Front, render_caddy
from tests.lan_certificates import make_authority
from tests.ports import claim_ports
from tests.processes import list_listening
from tests.programs import require_program
from tests.waiting import wait_for

TRUST_STORE = Path("/usr/local/share/ca-certificates")


@dataclass(frozen=True)
class Caddy:
    """Caddy that runs."""

    port: int
    pid: int
    folder: Path

    @property
    def log(self) -> str:
        return (self.folder / "caddy.log").read_text(encoding="utf-8")

    def client(self, authority: str | None = None) -> httpx.Client:
        trusted = ssl.create_default_context(cadata=authority or (self.folder / "ca.pem").read_text())
        url, limits = f"https://127.0.0.1:{self.port}", httpx.Limits(keepalive_expiry=None)
        return httpx.Client(base_url=url, verify=trusted, timeout=30, trust_env=False, limits=limits)


@pytest.fixture
def caddy(tmp_path: Path) -> Iterator[Caddy]:
    with run_caddy(tmp_path) as running:
        yield running


@contextmanager
def run_caddy(tmp_path: Path, change: Callable[[dict[str, Any]], None] = lambda config: None) -> Iterator[Caddy]:
    """Caddy until the end of the block, with its configuration changed like this."""
    program = require_program("caddy", "caddy")
    port, gateway, *_ = claim_ports()
    authority = make_authority("127.0.0.1", "localhost")
    chain, key = tmp_path / "ca.pem", tmp_path / "ca-key.pem"
    chain.write_text(authority.certificate)
    key.write_text(authority.key)
    front = Front(
        names=("127.0.0.1", "localhost"),
        default_name="127.0.0.1",
        listen=f"127.0.0.1:{port}",
        gateway=f"127.0.0.1:{gateway}",
        chain=str(chain),
        key=str(key),
        is_company=False,
        mark="",
        storage=str(tmp_path / "issued"),
    )
    config = json.loads(render_caddy(front))
    change(config)
    (tmp_path / "caddy.json").write_text(json.dumps(config))
    environment = {
        "PATH": os.environ["PATH"],
        **dict.fromkeys(("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"), str(tmp_path)),
    }
    argv = [program, "run", "--config", str(tmp_path / "caddy.json")]
    with (tmp_path / "caddy.log").open("wb") as log:
        process = subprocess.Popen(argv, env=environment, stdout=log, stderr=subprocess.STDOUT, cwd=tmp_path)
    running = Caddy(port, process.pid, tmp_path)
    try:
        wait_for(lambda: process.poll() is None and answers(running), "Caddy answers by TLS")
        yield running
    finally:
        process.kill()
        process.wait()


def answers(caddy: Caddy) -> bool:
    try:
        with caddy.client() as client:
            return bool(client.get("/").status_code)
    except httpx.TransportError:
        return False


def test_a_gateway_that_is_away_is_told_in_the_form_of_the_clients_errors(caddy: Caddy) -> None:
    with caddy.client() as client:
        answer = client.post("/v1/messages", headers={"x-api-key": "planted-key"}, json={})
    assert answer.status_code == 502
    assert answer.json()["error"] == {
        "message": "The gateway does not answer.",
        "type": "api_error",
        "code": "gateway_unreachable",
    }


def test_keys_stand_in_no_log(caddy: Caddy) -> None:
    headers = {"x-api-key": "planted-one", "Authorization": "Bearer planted-two", "api-key": "planted-three"}
    with caddy.client() as client:
        client.get("/v1/models?key=planted-four", headers=headers)
    assert "planted" not in caddy.log
    assert all(json.loads(line) for line in caddy.log.splitlines())
    # Of what goes wrong with a request it would write the headers, too, and hide only some of them.
    encoder = json.loads((caddy.folder / "caddy.json").read_text())["logging"]["logs"]["default"]["encoder"]
    assert encoder["fields"] == {"request": {"filter": "delete"}}


def test_it_listens_nowhere_else_and_leaves_this_machines_trust_alone(caddy: Caddy) -> None:
    assert {port for _, port in list_listening([caddy.pid])} == {caddy.port}
    assert not [path.name for path in TRUST_STORE.glob("*addy*")]
    assert "trust" not in caddy.log


def test_what_it_issues_is_short_lived_and_kept_for_its_owner_alone(caddy: Caddy) -> None:
    keys = list((caddy.folder / "issued").rglob("*.key"))
    assert keys
    assert {path.stat().st_mode & 0o777 for path in keys} == {0o600}
    chain = next((caddy.folder / "issued").rglob("127.0.0.1.crt"))
    argv = ["openssl", "x509", "-in", str(chain), "-noout", "-checkend", str(91 * 86_400)]
    assert subprocess.run(argv, capture_output=True, check=False).returncode == 1


def test_what_it_issues_is_renewed_while_it_serves(tmp_path: Path) -> None:
    def hurry(config: dict[str, Any]) -> None:
        automation = config["apps"]["tls"]["automation"]
        automation["renew_interval"] = "1s"
        automation["policies"][0]["issuers"][0]["lifetime"] = "20s"

    def load_served(caddy: Caddy) -> bytes:
        trusted = ssl.create_default_context(cadata=(caddy.folder / "ca.pem").read_text())
        with (
            socket.create_connection(("127.0.0.1", caddy.port), 30) as plain,
            trusted.wrap_socket(plain, server_hostname="localhost") as served,
        ):
            return served.getpeercert(binary_form=True) or b""

    with run_caddy(tmp_path, hurry) as caddy, caddy.client() as client:
        first = load_served(caddy)
        before = client.get("/").extensions["network_stream"]
        wait_for(lambda: load_served(caddy) != first, "another certificate")
        assert client.get("/").extensions["network_stream"] is before


def test_what_administers_the_gateway_stays_on_its_machine(caddy: Caddy) -> None:
    with caddy.client() as client:
        for path in ("/admin", "/metrics", "/%61dmin", "//admin", "/x/../admin"):
            answer = client.get(path)
            assert (path, answer.status_code) in {(path, 404), ("//admin", 502)}, path


def test_another_name_is_not_served(caddy: Caddy) -> None:
    with caddy.client() as client:
        assert client.get("/v1/models", headers={"Host": "evil.example"}).status_code == 421


def test_who_trusts_another_authority_does_not_connect(caddy: Caddy) -> None:
    with caddy.client(make_authority("127.0.0.1").certificate) as client, pytest.raises(httpx.ConnectError):
        client.get("/")
