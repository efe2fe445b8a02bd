"""A stack that is watched: what it needs as processes, what it says there, and what it starts as containers."""

from __future__ import annotations

import pytest

from stackctl.core.machine.host import Host, PortHolder
from stackctl.errors import ConfigError
from stackctl.operations.run.down import run_down
from stackctl.operations.run.up import run_up
from tests.fakes import DOCKER, World, raised_by

PROGRAMS = {"prometheus": "/usr/bin/prometheus", "promtool": "/usr/bin/promtool"}


@pytest.fixture
def watched(world: World) -> World:
    """A site with the app observability, and a machine with Debian's Prometheus."""
    world.environment |= {"STACK_APPS": "observability", "GRAFANA_PASSWORD": "planted-grafana-password"}
    world.programs.update(PROGRAMS)
    return world


def test_containers_are_both(watched: World) -> None:
    watched.environment["STACK_RUNTIME"] = "compose"
    result = run_up(watched.effects)
    assert {"prometheus", "grafana"} <= set(result.started)
    assert not any("Grafana" in warning.message for warning in result.warnings)


def test_as_processes_prometheus_runs_alone_and_that_is_said(watched: World) -> None:
    watched.environment["STACK_RUNTIME"] = "process"
    result = run_up(watched.effects)
    assert "prometheus" in result.started
    assert "grafana" not in result.started
    (said,) = [warning for warning in result.warnings if warning.subject == "app observability"]
    assert "Grafana is not run there" in said.message
    assert ".stack/rendered" in said.hint


def test_without_the_program_nothing_starts(watched: World) -> None:
    watched.environment["STACK_RUNTIME"] = "process"
    del watched.programs["prometheus"]
    error = raised_by(lambda: run_up(watched.effects))
    assert isinstance(error, ConfigError)
    assert error.hint == "apt-get install prometheus"
    assert watched.runtimes["process"].calls == []


@pytest.mark.parametrize(("runtime", "is_refused"), [("process", False), ("compose", True)])
def test_grafana_s_port_is_taken_where_it_runs_alone(watched: World, runtime: str, is_refused: bool) -> None:
    watched.environment["STACK_RUNTIME"] = runtime
    watched.host = Host(docker=DOCKER, ports={13000: PortHolder(4711, "node")})
    if is_refused:
        assert "GRAFANA_PORT: port 13000 is in use by node" in str(raised_by(lambda: run_up(watched.effects)))
    else:
        assert run_up(watched.effects).started


def test_grafana_s_password_is_asked_for_where_it_runs_alone(watched: World) -> None:
    del watched.environment["GRAFANA_PASSWORD"]
    watched.environment["STACK_RUNTIME"] = "process"
    assert run_up(watched.effects).started
    run_down(watched.effects)
    watched.environment["STACK_RUNTIME"] = "compose"
    error = raised_by(lambda: run_up(watched.effects))
    assert "GRAFANA_PASSWORD: is not set" in str(error)
    assert error.hint == "run 'stackctl init' to generate GRAFANA_PASSWORD"
    assert watched.runtimes["compose"].calls == []


def test_two_services_on_one_port_are_refused(watched: World) -> None:
    watched.environment["GRAFANA_PORT"] = "19090"
    assert "19090 is also the port of PROMETHEUS_PORT" in str(raised_by(lambda: run_up(watched.effects)))
