"""Keys of a real stack of processes: given out running and stopped, and kept by all that happens to the site."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.stack_site import DEADLINE_S, GATEWAY_SERVICE, Site
from tests.waiting import wait_for


@pytest.fixture(scope="module")
def keyed_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site for this module's tests, never started before the first one does."""
    site = Site.create(tmp_path_factory.mktemp("a keyed site"), EMBEDDING_MODEL="none", GATEWAY_WORKERS="2")
    try:
        yield site
    finally:
        site.stop()


def ask(site: Site, key: str) -> int:
    """Status of a request with this key."""
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.get(f"{site.url}/v1/models", headers=headers, timeout=DEADLINE_S).status_code


def create(site: Site, name: str, *options: str) -> str:
    """A new key: the one line that the command prints."""
    (key,) = site.run("keys", "create", name, *options).stdout.splitlines()
    return key


def list_names(site: Site, *options: str) -> list[str]:
    return [key["name"] for key in site.run_json("keys", "list", *options)]


def list_rights(folder: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def test_keys_are_the_same_whether_the_stack_runs_or_not(keyed_site: Site) -> None:
    site = keyed_site
    early = create(site, "given out before the first start")
    assert "is stopped; this is its state in the process runtime" in site.run("keys", "list").stderr
    site.run("up")
    assert ask(site, early) == 200
    late = create(site, "late", "--models", "local-chat", "--budget-tokens", "1M/day", "--expires", "30d")
    assert {ask(site, late) for _ in range(20)} == {200}  # by every worker
    listed = site.run("keys", "list")
    assert "1M tokens/day" in listed.stdout
    assert "valid for 30 d" in listed.stdout
    assert listed.stderr == ""

    state = site.state / "gateway"
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert list_rights(state) == {0o600}
    site.run("down")
    assert list_rights(state) == {0o600}
    assert list_names(site) == ["given out before the first start", "late"]
    site.run("keys", "revoke", "given out before the first start")
    site.run("up")
    assert (ask(site, early), ask(site, late)) == (401, 200)
    assert list_names(site) == ["late"]
    assert list_names(site, "--all") == ["given out before the first start", "late"]


def test_every_worker_knows_a_new_secret_and_forgets_the_old_without_a_restart(keyed_site: Site) -> None:
    site = keyed_site
    site.run("up")
    before = site.find_pids()[GATEWAY_SERVICE]
    old = create(site, "turned")
    wait_for(lambda: {ask(site, old) for _ in range(20)} == {200}, "every worker knows the key")
    new = site.run("keys", "rotate", "turned", "--grace", "0").stdout.strip()
    wait_for(lambda: {ask(site, old) for _ in range(20)} == {401}, "no worker knows the old secret")
    assert {ask(site, new) for _ in range(20)} == {200}
    site.run("keys", "revoke", "turned")
    wait_for(lambda: {ask(site, new) for _ in range(20)} == {401}, "no worker knows the key")
    assert site.find_pids()[GATEWAY_SERVICE] == before


def test_no_secret_is_kept_or_logged_anywhere(keyed_site: Site) -> None:
    site = keyed_site
    site.run("up")
    secret = create(site, "hidden")
    assert ask(site, secret) == 200
    site.run("down")
    part = secret.rpartition("-")[2].encode()
    assert [path for path in site.path.rglob("*") if path.is_file() and part in path.read_bytes()] == []


def test_two_commands_at_once_lose_nothing(keyed_site: Site) -> None:
    site = keyed_site
    site.run("down")
    made = [site.spawn("keys", "create", f"at once {number}") for number in range(4)]
    assert [command.process.wait(DEADLINE_S) for command in made] == [0] * 4, [command.read() for command in made]
    assert {f"at once {number}" for number in range(4)} <= set(list_names(site))
    again = site.run("keys", "create", "at once 0", code=3)
    assert "name 'at once 0'" in again.stderr
    assert "rotate NAME" in again.stderr


def test_a_site_that_is_moved_keeps_its_keys(keyed_site: Site, tmp_path: Path) -> None:
    site = keyed_site
    site.run("up")
    key = create(site, "moving")
    moved = Site(Path(shutil.move(site.path, tmp_path / "moved")))
    try:
        assert "moving" in list_names(moved)
        moved.run("up")
        assert ask(moved, key) == 200
        moved.run("down")
        assert "moving" in list_names(moved)
    finally:
        moved.run("down", code=None)
        shutil.move(moved.path, site.path)


def test_a_name_that_no_key_can_have_and_one_that_no_key_has(keyed_site: Site) -> None:
    site = keyed_site
    for name in ("", "a\nb", "x" * 300, "admin"):
        assert site.run("keys", "create", name, code=3).stdout == ""
    create(site, "nearby")
    assert "did you mean 'nearby'?" in site.run("keys", "show", "nearbi", code=3).stderr
    site.run("keys", "revoke", "nearby")


def test_a_state_that_cannot_be_used_is_told_running_and_stopped(keyed_site: Site) -> None:
    site = keyed_site
    site.run("down")
    state, aside = site.state / "gateway", site.state / "aside"
    state.rename(aside)
    state.write_text("in the way of a folder")
    try:
        stopped = site.run("keys", "list", code=5)
        assert str(state) in stopped.stderr
        assert "stackctl doctor" in stopped.stderr
        site.run("up")  # without a state GATEWAY_KEY alone opens the gateway
        assert ask(site, site.keys["GATEWAY_KEY"]) == 200
        assert "keys are not known" in site.run("status").stderr
        assert site.run("keys", "create", "nowhere", code=5).stdout == ""
    finally:
        site.run("down")
        state.unlink()
        aside.rename(state)
    assert "moving" in list_names(site)
