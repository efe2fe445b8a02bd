"""The gateway's keys in containers: given out running and stopped, in a volume that outlives the stack."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.docker.commands import COMMAND_DEADLINE_S
from tests.docker.sites import Site, run_inside
from tests.waiting import wait_for

pytestmark = pytest.mark.docker

STATE = "/var/lib/api-gateway"
RIGHTS = f"import pathlib; print(*(oct(p.stat().st_mode) for p in pathlib.Path('{STATE}').iterdir()))"


def ask(site: Site, key: str) -> int:
    """Status of a request with this key."""
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.get(f"{site.url}/v1/models", headers=headers, timeout=COMMAND_DEADLINE_S).status_code


def create(site: Site, name: str) -> str:
    """A new key: the one line that the command prints."""
    (key,) = site.run_well("keys", "create", name).stdout.splitlines()
    return key


def list_names(site: Site) -> list[str]:
    return [key["name"] for key in json.loads(site.run_well("keys", "list", "--json").stdout)]


def test_keys_outlive_the_stack_and_work_again(stopped: Site) -> None:
    early = create(stopped, "given out before the first start")
    assert stopped.list_remains() == []
    assert stopped.list_volumes() == [stopped.state_volume]

    stopped.run_well("up")
    late = create(stopped, "given out while it ran")
    assert (ask(stopped, early), ask(stopped, late)) == (200, 200)
    code, rights = run_inside(stopped.list_containers()["api-gateway"], "/opt/venv/bin/python", "-c", RIGHTS)
    assert (code, set(rights.split())) == (0, {"0o100600"})

    stopped.run_well("down")
    assert stopped.list_remains() == []
    assert stopped.list_volumes() == [stopped.state_volume]
    listed = stopped.run_well("keys", "list")
    assert "its state in the compose runtime" in listed.stderr
    assert list_names(stopped) == ["given out before the first start", "given out while it ran"]
    stopped.run_well("keys", "revoke", "given out before the first start")
    assert stopped.list_remains() == []

    stopped.run_well("up")
    assert (ask(stopped, early), ask(stopped, late)) == (401, 200)
    stopped.run_well("keys", "revoke", "given out while it ran")
    wait_for(lambda: ask(stopped, late) == 401, "the gateway forgets the key")


def test_a_gateway_as_another_user_in_the_sites_own_override_is_asked_as_that_user(stopped: Site) -> None:
    override = stopped.folder / "compose.override.yml"
    override.write_text('services: {api-gateway: {user: "4711:4711"}}', encoding="utf-8")
    early = create(stopped, "early")
    stopped.run_well("up")
    assert ask(stopped, early) == 200
    stopped.run_well("down")
    assert list_names(stopped) == ["early"]


def test_a_gateway_that_is_frozen_is_an_error_and_nothing_is_asked_beside_it(stopped: Site) -> None:
    stopped.run_well("up")
    gateway = stopped.list_containers()["api-gateway"]
    gateway.pause()
    try:
        done = stopped.run("keys", "list")
        assert (done.code, done.stdout) == (5, "")
        assert "hangs" in done.stderr
        assert "restart api-gateway" in done.stderr
    finally:
        gateway.unpause()
    gateway.stop()
    done = stopped.run("keys", "list")
    assert done.code == 5, "the ingress listens, so a gateway is meant to be there"
    assert "does not answer" in done.stderr
