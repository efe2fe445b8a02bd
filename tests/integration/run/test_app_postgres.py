"""The app postgres as processes: the real programs, and a gateway that keeps its state there by itself."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from stackctl.core.apps.app import AppPlaces
from stackctl.core.apps.postgres import build_services
from stackctl.core.settings.settings import Settings
from tests.integration.app_site import find_result, run_app_site
from tests.integration.stack_site import Site
from tests.ports import claim_ports
from tests.postgres_server import run_postgres
from tests.processes import is_alive, list_descendants, list_listening
from tests.programs import require_program
from tests.waiting import wait_for

LOOPBACK = "0100007F"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    require_program("postgres", "postgresql")
    port, *_ = claim_ports()
    folder = tmp_path_factory.mktemp('a "quoted" $site\'s')
    with run_app_site(folder, "postgres", POSTGRES_PORT=str(port)) as site:
        yield site


def ask(site: Site, query: str, password: str = "", user: str = "gateway") -> str:
    """What psql prints, asked with this password."""
    settings = site.settings
    argv = ["psql", "-XAtw", "-h", "127.0.0.1", "-p", settings["POSTGRES_PORT"], "-U", user, "postgres", "-c", query]
    environment = {**os.environ, "PGPASSWORD": password or settings["POSTGRES_PASSWORD"]}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip()


def test_it_answers_the_gateways_user_alone_on_loopback_alone(site: Site) -> None:
    assert find_result(site, "app") == ("ok", "answers SELECT 1")
    assert ask(site, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") == "f"
    assert "password authentication failed" in ask(site, "SELECT 1", password="wrong")
    assert "no pg_hba.conf entry" in ask(site, "SELECT 1", user="postgres")
    pid = site.find_pids()["postgres"]
    assert {address for address, _ in list_listening([pid])} == {LOOPBACK}


def test_the_gateway_keeps_keys_and_usage_there_by_itself(site: Site) -> None:
    made = site.run("keys", "create", "anna").stdout
    assert "sk-" in made
    assert ask(site, "SELECT name FROM gateway.keys") == "anna"
    assert not (site.state / "gateway" / "gateway.db").exists()
    assert "anna" in site.run("keys", "list").stdout


def test_its_password_stands_in_env_and_the_secrets_file_alone(site: Site) -> None:
    password = site.settings["POSTGRES_PASSWORD"].encode()
    holders = {path.name for path in site.path.rglob("*") if path.is_file() and password in path.read_bytes()}
    assert holders == {".env", "secrets.json"}
    for pid in site.list_processes():
        assert password not in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_what_it_keeps_survives_a_kill_and_a_stop(site: Site) -> None:
    pid = site.find_pids()["postgres"]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: site.find_pids().get("postgres") not in (0, pid, None), "another process")
    wait_for(lambda: "anna" in ask(site, "SELECT name FROM gateway.keys"), "what was kept")
    pid = site.find_pids()["postgres"]
    site.run("down")
    assert not is_alive(pid)
    assert "database system is shut down" in (site.state / "logs" / "postgres.log").read_text()
    site.run("up")
    assert "anna" in site.run("keys", "list").stdout


def test_a_frozen_one_is_said_to_be_and_keys_go_on(site: Site) -> None:
    pid = site.find_pids()["postgres"]
    os.kill(pid, signal.SIGSTOP)
    try:
        status, detail = find_result(site, "app")
        assert (status, "SELECT 1" in detail or "timeout" in detail) == ("failed", True)
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for(lambda: find_result(site, "app")[0] == "ok", "its answer")


def test_health_and_status_say_that_it_is_away_and_that_it_is_back(site: Site) -> None:
    assert find_result(site, "state")[1] == "postgresql answers"
    pid = site.find_pids()["postgres"]
    frozen = [pid, *list_descendants(pid)]
    for one in frozen:
        os.kill(one, signal.SIGSTOP)
    try:
        wait_for(lambda: find_result(site, "state")[0] == "warning", "the gateway to notice")
        assert "records of usage wait" in find_result(site, "state")[1]
        assert "the gateway's database cannot be used" in site.run("status", code=None).stderr
    finally:
        for one in frozen:
            os.kill(one, signal.SIGCONT)
    wait_for(lambda: find_result(site, "state")[0] == "ok", "the gateway to find it again")


def test_keys_of_a_database_elsewhere_can_be_made_while_the_stack_is_stopped(tmp_path: Path) -> None:
    with run_postgres() as server:
        name = server.make_database()
        elsewhere = Site.create(tmp_path / "elsewhere", GATEWAY_DATABASE_URL=server.build_url(name))
        elsewhere.run("init")
        assert "sk-" in elsewhere.run("keys", "create", "anna").stdout
        assert server.run("SELECT name FROM gateway.keys", name) == [("anna",)]
        server.kill()
        done = elsewhere.run("keys", "list", code=5)
        assert "cannot be used" in done.stderr
        assert server.password not in done.stdout + done.stderr


def test_a_half_made_folder_is_made_again_and_another_password_is_taken(site: Site) -> None:
    site.run("down")
    shutil.rmtree(site.state / "apps" / "postgres" / "data")
    (site.state / "apps" / "postgres" / "new").mkdir()
    (site.state / "apps" / "postgres" / "new" / "PG_VERSION").write_text("15\n")
    site.configure(POSTGRES_PASSWORD="another-password-of-postgres")
    site.run("up")
    assert ask(site, "SELECT 1") == "1"
    before = site.find_pids()
    site.configure(POSTGRES_PASSWORD="a-third-password-of-postgres")
    site.run("up")
    after = site.find_pids()
    assert {name for name, pid in after.items() if before[name] != pid} == {"postgres", "api-gateway"}
    assert ask(site, "SELECT 1") == "1"


def test_nothing_is_left_when_its_supervisor_is_killed(site: Site) -> None:
    processes = site.list_processes()
    os.kill(site.find_supervisor(), signal.SIGKILL)
    site.run("down")
    wait_for(lambda: not any(map(is_alive, processes)), "the end of every process")
    site.run("up")
    assert ask(site, "SELECT 1") == "1"


@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests are those of a user who is not root")
def test_who_is_not_root_needs_no_namespace(tmp_path: Path) -> None:
    require_program("postgres", "postgresql")
    with TemporaryDirectory(prefix="stack-test-postgres-") as folder:
        Path(folder).chmod(0o777)
        port, *_ = claim_ports()
        settings = Settings(stack_apps="postgres", postgres_port=port)
        (service,) = build_services(settings, AppPlaces(in_container=False, state=folder))
        variables = {"PATH": os.environ["PATH"], "POSTGRES_PASSWORD": "planted-password", **service.environment}
        user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "/bin/sh", "-c"]
        running = subprocess.Popen([*user, service.script], env=variables, cwd="/", stderr=subprocess.DEVNULL)
        try:
            asked = [*user, service.probe]
            wait_for(lambda: subprocess.run(asked, env=variables, capture_output=True).returncode == 0, "its answer")
        finally:
            running.send_signal(signal.SIGINT)
            assert running.wait(60) == 0
