"""What up refuses before it touches anything: ports in use, another runtime, an unset secret."""

from __future__ import annotations

import pytest

from stackctl.core.machine.host import Host, PortHolder
from stackctl.errors import ConfigError
from stackctl.operations.run.up import run_up
from tests.fakes import DOCKER, SITE, World, raised_by, write_env
from tests.operations.run.services import SERVICES


@pytest.mark.parametrize(
    ("port", "setting", "runtime"),
    [(8000, "API_GATEWAY_PORT", "compose"), (8000, "API_GATEWAY_PORT", "process"), (8003, "INFERENCE_PORT", "process")],
)
def test_a_port_in_use_is_named_with_its_holder_and_its_setting(
    world: World, port: int, setting: str, runtime: str
) -> None:
    world.environment["STACK_RUNTIME"] = runtime
    world.host = Host(docker=DOCKER, ports={port: PortHolder(4711, "postgres")})
    error = raised_by(lambda: run_up(world.effects))
    assert isinstance(error, ConfigError)
    assert f"port {port} is in use by postgres (pid 4711)" in str(error)
    assert setting in error.hint
    assert world.runtimes[runtime].calls == []


def test_an_engine_port_of_a_container_is_not_the_machines(world: World) -> None:
    world.host = Host(docker=DOCKER, ports={8001: PortHolder(4711, "postgres")})
    assert run_up(world.effects).started


@pytest.mark.parametrize("holder", [102, 9000], ids=["the service itself", "a worker of it"])
def test_a_port_that_the_stack_itself_holds_is_not_in_use(world: World, holder: int) -> None:
    world.environment["STACK_RUNTIME"] = "process"
    run_up(world.effects)
    world.ancestors[9000] = (102, 1)
    world.host = Host(docker=DOCKER, ports={8000: PortHolder(holder, "python")})
    assert run_up(world.effects).started == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"STACK_RUNTIME": "process"}, ("compose runtime", "process")),
        ({"STACK_NAME": "another"}, ("ai-stack", "another")),
        ({"STACK_GPU": "nvidia"}, ("STACK_GPU=nvidia",)),
        ({"STACK_RUNTIME": "process", "BIND_ADDRESS": "0.0.0.0"}, ()),
    ],
)
def test_what_cannot_be_is_refused_and_touches_nothing(
    world: World, change: dict[str, str], words: tuple[str, ...]
) -> None:
    run_up(world.effects)
    calls = list(world.runtimes["compose"].calls)
    world.environment |= change
    error = raised_by(lambda: run_up(world.effects))
    assert isinstance(error, ConfigError)
    assert all(word in error.message for word in words)
    assert world.running == SERVICES
    assert world.runtimes["compose"].calls == calls


def test_a_process_listens_on_this_machine_only(world: World) -> None:
    world.environment |= {"STACK_RUNTIME": "process", "BIND_ADDRESS": "0.0.0.0"}
    error = raised_by(lambda: run_up(world.effects))
    assert "BIND_ADDRESS: is 0.0.0.0; the process runtime listens on loopback only" in str(error)


@pytest.mark.parametrize("name", ["GATEWAY_KEY", "GATEWAY_ADMIN_KEY", "INFERENCE_API_KEY"])
def test_an_unset_secret_stops_everything(world: World, name: str) -> None:
    world.files[SITE / ".env"] = write_env(**{name: ""})
    error = raised_by(lambda: run_up(world.effects))
    assert isinstance(error, ConfigError)
    assert f"{name}: is not set" in str(error)
    assert "stackctl init" in error.hint
    assert world.runtimes["compose"].calls == []
