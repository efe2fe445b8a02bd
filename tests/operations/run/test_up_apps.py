"""A stack with apps: what up needs before it starts anything, and what it waits for and says."""

from __future__ import annotations

import pytest

from stackctl.core.health.probes import Status
from stackctl.core.machine.host import Host, PortHolder
from stackctl.errors import ConfigError, UnhealthyError
from stackctl.operations.run.up import run_up
from stackctl.operations.site.init import complete_env
from tests.fakes import DOCKER, SITE, World, raised_by

PROGRAMS = {"redis-server": "/usr/bin/redis-server", "redis-cli": "/usr/bin/redis-cli"}


@pytest.fixture
def redis(world: World) -> World:
    """A site with the app redis, and a machine with its programs."""
    world.environment |= {"STACK_APPS": "redis", "REDIS_PASSWORD": "planted-redis-password"}
    world.programs.update(PROGRAMS)
    return world


def test_keys_that_a_change_to_postgresql_leaves_behind_are_named(world: World) -> None:
    world.environment |= {"STACK_RUNTIME": "process", "GATEWAY_DATABASE_URL": "postgresql://u:planted@127.0.0.1/d"}
    assert not [item for item in run_up(world.effects).warnings if item.subject == "state"]
    world.modes[SITE / ".stack" / "gateway" / "gateway.db"] = 0o600
    (warning,) = (item for item in run_up(world.effects).warnings if item.subject == "state")
    assert "gateway.db are not used" in warning.message
    assert "planted" not in warning.render_text()


@pytest.mark.parametrize("runtime", ["process", "compose"])
def test_an_app_is_started_and_asked(redis: World, runtime: str) -> None:
    redis.environment["STACK_RUNTIME"] = runtime
    result = run_up(redis.effects)
    assert "redis" in result.started
    asked = [item for item in result.report.results if item.layer == "app"]
    assert [(item.subject, item.status, item.detail) for item in asked] == [("redis", Status.OK, "answers PING")]


def test_a_missing_program_is_named_with_its_package_before_anything_starts(redis: World) -> None:
    redis.environment["STACK_RUNTIME"] = "process"
    del redis.programs["redis-server"]
    error = raised_by(lambda: run_up(redis.effects))
    assert isinstance(error, ConfigError)
    assert "redis needs redis-server" in str(error)
    assert error.hint == "apt-get install redis-server"
    assert redis.runtimes["process"].calls == []


def test_in_containers_the_machine_needs_no_program(redis: World) -> None:
    redis.programs.clear()
    assert run_up(redis.effects).started


@pytest.mark.parametrize(("runtime", "is_refused"), [("process", True), ("compose", False)])
def test_its_port_must_be_free_where_it_is_the_machines(redis: World, runtime: str, is_refused: bool) -> None:
    redis.environment["STACK_RUNTIME"] = runtime
    redis.host = Host(docker=DOCKER, ports={16379: PortHolder(4711, "redis-server")})
    if is_refused:
        error = raised_by(lambda: run_up(redis.effects))
        assert "REDIS_PORT: port 16379 is in use by redis-server (pid 4711)" in str(error)
    else:
        assert run_up(redis.effects).started


def test_two_services_on_one_port_are_refused(redis: World) -> None:
    redis.environment["REDIS_PORT"] = "8000"
    assert "8000 is also the port of the gateway" in str(raised_by(lambda: run_up(redis.effects)))


def test_an_app_that_does_not_answer_is_waited_for_and_then_named(redis: World) -> None:
    redis.runtimes["compose"].silent.add("redis")
    error = raised_by(lambda: run_up(redis.effects, wait_timeout_s=0.0))
    assert isinstance(error, UnhealthyError)
    assert "redis" in str(error)


def test_its_password_is_generated_where_the_app_is_chosen_alone(world: World) -> None:
    env = SITE / ".env"
    before = world.files[env]
    assert complete_env(world.effects) == ()
    world.files[env] = f"{before}\nSTACK_APPS=redis\n"
    assert "REDIS_PASSWORD" in complete_env(world.effects)[0]
    assert "REDIS_PASSWORD=sk-made-for-tests" in world.files[env]


def test_without_its_password_up_says_how_to_make_one(redis: World) -> None:
    del redis.environment["REDIS_PASSWORD"]
    error = raised_by(lambda: run_up(redis.effects))
    assert "REDIS_PASSWORD" in str(error)
    assert "stackctl init" in error.hint
