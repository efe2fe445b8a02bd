"""``stackctl offline-prove`` in the process runtime: real services in a network namespace without a way out."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from stackctl.core.bundle.format.signature import parse_public_key, verify
from stackctl.errors import BundleError
from tests.integration.conftest import MakeSite
from tests.integration.stack_site import Site
from tests.waiting import wait_for

pytestmark = pytest.mark.usefixtures("namespaces")

# Stands for an engine that asks the world before it serves.
CURIOUS_ENGINE = f"""#!{sys.executable} -IS
import socket, time
try:
    socket.getaddrinfo("models.example.invalid", 443)
except socket.gaierror:
    pass
with socket.socket() as client:
    client.connect_ex(("192.0.2.1", 443))
time.sleep(600)
"""


@pytest.fixture
def site(stack: Site, make_site: MakeSite) -> Site:
    """A site whose environments are here, since another one runs, and whose own stack is down."""
    return make_site()


def add_curious_engine(site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / "llama-server"
    program.write_text(CURIOUS_ENGINE)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    site.configure(INFERENCE_ENGINE="llama.cpp")


def test_a_healthy_stack_is_proved_and_stopped_and_its_receipt_can_be_checked(site: Site) -> None:
    receipt = site.run_json("offline-prove")
    assert (receipt["verdict"], receipt["runtime"], receipt["reasons"]) == ("passed", "process", [])
    assert (receipt["attempts"], receipt["pulled"], receipt["gaps"]) == ([], [], [])
    assert {row["status"] for row in receipt["health"]} == {"ok"}
    assert site.list_processes() == []
    assert site.run_json("status")["running"] is False

    public = parse_public_key((site.path / "offline" / "site.pub").read_text())
    data, signature = (Path(receipt["files"][name]).read_bytes() for name in ("receipt", "signature"))
    verify(public, data, signature.decode())
    assert json.loads(data)["verdict"] == "passed"
    assert "PASSED" in Path(receipt["files"]["page"]).read_text()
    with pytest.raises(BundleError):
        verify(public, data.replace(b"passed", b"failed"), signature.decode())


def test_what_is_tried_is_named_though_the_stack_does_not_start(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_curious_engine(site, tmp_path, monkeypatch)
    receipt = site.run_json("offline-prove", "--wait-timeout", "8", code=6)
    assert receipt["verdict"] == "failed"
    assert {(item["kind"], item["target"], item["port"]) for item in receipt["attempts"]} == {
        ("lookup", "models.example.invalid", 0),
        ("connection", "192.0.2.1", 443),
    }
    assert site.list_processes() == []


def test_beside_the_running_stack_it_refuses_and_disturbs_nothing(stack: Site) -> None:
    before = stack.find_pids()
    done = stack.run("offline-prove", code=5)
    assert "stackctl down" in done.stderr
    assert stack.find_pids() == before


def test_an_interrupt_leaves_nothing_running(site: Site) -> None:
    proof = site.spawn("offline-prove")
    proof.wait_text("waiting for")
    processes = site.list_processes()
    assert processes
    assert proof.interrupt() == 130
    assert site.list_processes() == []
    assert site.run_json("status")["running"] is False


def test_killed_for_good_it_still_ends_what_it_started(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_curious_engine(site, tmp_path, monkeypatch)
    proof = site.spawn("offline-prove", "--wait-timeout", "3600")
    proof.wait_text("waiting for")
    assert site.list_processes()
    proof.process.kill()
    wait_for(lambda: not site.list_processes(), "nothing of the rehearsal runs")
    wait_for(lambda: site.run_json("status")["running"] is False, "the site says so")
