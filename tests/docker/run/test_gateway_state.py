"""The gateway's keys and usage in containers: a volume that outlives the stack, its file the gateway's alone."""

from __future__ import annotations

import pytest

from tests.docker.sites import Site, run_inside

pytestmark = pytest.mark.docker

DATABASE = "/var/lib/api-gateway/gateway.db"
PYTHON = "/opt/venv/bin/python"
OPEN = f"import pathlib, sqlite3; c = sqlite3.connect('{DATABASE}'); "
RIGHTS = OPEN + "print(*(oct(p.stat().st_mode) for p in pathlib.Path('/var/lib/api-gateway').iterdir()))"
COUNT = OPEN + "print(c.execute('SELECT count(*) FROM facts').fetchone()[0])"
MARK = OPEN + "c.execute('INSERT INTO facts VALUES (?, 1)', ('kept',)); c.commit()"


def test_down_leaves_what_the_gateway_keeps_and_up_finds_it(stopped: Site) -> None:
    stopped.set(EMBEDDING_MODEL="none")
    stopped.run_well("up")
    gateway = stopped.list_containers()["api-gateway"]
    code, rights = run_inside(gateway, PYTHON, "-c", RIGHTS)
    assert code == 0, rights
    assert set(rights.split()) == {"0o100600"}
    assert run_inside(gateway, PYTHON, "-c", MARK) == (0, "")
    before = run_inside(gateway, PYTHON, "-c", COUNT)

    stopped.run_well("down")
    assert stopped.list_remains() == []
    assert stopped.list_volumes() == [stopped.state_volume]

    stopped.run_well("up")
    assert run_inside(stopped.list_containers()["api-gateway"], PYTHON, "-c", COUNT) == before
