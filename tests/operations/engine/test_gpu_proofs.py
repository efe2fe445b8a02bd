"""The GPU proof over the life of a stack: read once at each start, kept, and judged against the driver of now."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stackctl.core.health.doctor_input import DoctorInput
from stackctl.core.health.probes import ProbeResult
from stackctl.core.machine.gpu import Gpu, GpuMemory
from stackctl.core.stack.names import COMPOSE_FILE, GPU_OVERLAYS
from stackctl.errors import Finding
from stackctl.operations.look import doctor
from stackctl.operations.look.health import check_health
from stackctl.operations.run.down import run_restart
from stackctl.operations.run.up import run_up
from stackctl.operations.site.running import load_running
from tests.fakes import DOCKER, SITE, FakeRuntime, World, raised_by, write_env

GIB = 1 << 30
LOG = """load_tensors: offloaded 33/33 layers to GPU
load_tensors:        CUDA0 model buffer size =  4095.05 MiB
"""
CPU_LOG = "load_tensors: loading model tensors\nload_tensors: CPU_Mapped model buffer size = 161.02 MiB\n"


@pytest.fixture(params=["compose", "process"])
def world(request: pytest.FixtureRequest) -> World:
    """A host with an NVIDIA GPU and a `llama-server`, whose driver counts what the engines hold."""
    world = World(write_env(STACK_RUNTIME=request.param, EMBEDDING_MODEL="none"))
    world.programs["llama-server"] = "/usr/bin/llama-server"
    world.host = replace(world.host, gpus=(Gpu("nvidia", 0, "NVIDIA H200"),))
    world.gpu_memory = GpuMemory({100: 5 * GIB})
    runtime = get_runtime(world)
    runtime.start_logs = {"inference-chat": LOG}
    return world


@pytest.mark.parametrize(
    ("runtimes", "devices", "wanted", "overlay"),
    [
        ({"runc"}, ("nvidia.com/gpu=0", "nvidia.com/gpu=all"), "auto", "nvidia-cdi"),
        ({"runc", "nvidia"}, ("nvidia.com/gpu=all",), "auto", "nvidia"),
        ({"runc", "nvidia"}, ("nvidia.com/gpu=all",), "cdi", "nvidia-cdi"),
        ({"runc"}, ("nvidia.com/gpu=all",), "toolkit", "nvidia"),
        ({"runc"}, ("vendor.example/net=0",), "auto", "nvidia"),
    ],
)
def test_a_host_with_nothing_but_cdi_gives_its_gpu_by_cdi(
    runtimes: set[str], devices: tuple[str, ...], wanted: str, overlay: str
) -> None:
    world = World(write_env(GPU_ACCESS=wanted, EMBEDDING_MODEL="none"))
    docker = replace(DOCKER, runtimes=frozenset(runtimes), cdi_devices=devices)
    world.host = replace(world.host, docker=docker, gpus=(Gpu("nvidia", 0, "NVIDIA H200"),))
    world.gpu_memory = GpuMemory({100: 5 * GIB})
    world.runtimes["compose"].start_logs = {"inference-chat": LOG}
    plan = run_up(world.effects).running.plan
    assert plan.compose_files == (COMPOSE_FILE, GPU_OVERLAYS[overlay])
    assert load_running(world.effects).plan.compose_files == plan.compose_files, "later commands know it"


def get_runtime(world: World) -> FakeRuntime:
    name = "process" if "STACK_RUNTIME=process" in world.files[SITE / ".env"] else "compose"
    return world.runtimes[name]


def ask_health(world: World) -> ProbeResult:
    report = check_health(world.effects, load_running(world.effects))
    return next(item for item in report.results if item.layer == "gpu")


def test_what_a_start_proved_is_kept_when_the_log_has_turned_over(world: World) -> None:
    run_up(world.effects)
    get_runtime(world).start_logs.clear()
    for _ in range(2):
        result = ask_health(world)
        assert (result.status, "33 of 33 layers" in result.detail) == ("ok", True)
    assert run_up(world.effects).started == ()
    assert world.modes[SITE / ".stack" / "gpu-proofs" / "inference-chat.json"] == 0o600


def test_the_proof_is_read_when_the_engine_is_ready_and_not_when_the_gateway_is(world: World) -> None:
    runtime = get_runtime(world)
    runtime.unready = {"api-gateway"}

    def turn_over() -> None:  # users fill the log while the gateway still starts
        runtime.start_logs.clear()
        runtime.unready.clear()

    world.on_sleep = turn_over
    report = run_up(world.effects).report
    assert [(item.status, "33 of 33" in item.detail) for item in report.results if item.layer == "gpu"] == [
        ("ok", True)
    ]


def test_every_start_is_proved_anew(world: World) -> None:
    run_up(world.effects)
    get_runtime(world).start_logs = {"inference-chat": CPU_LOG}
    error = raised_by(lambda: run_restart(world.effects, ("inference-chat",)))
    assert "the model runs on the CPU" in str(error.findings)


def test_a_start_that_nobody_watched_is_a_warning_when_the_driver_counts_the_memory(world: World) -> None:
    run_up(world.effects)
    runtime = get_runtime(world)
    runtime.start_logs.clear()
    runtime.restart(("inference-chat",), lambda line: None)  # it died, and was started again
    result = ask_health(world)
    assert (result.status, "the driver counts 5.0 GiB" in result.detail) == ("warning", True)
    assert result.hint == "run 'stackctl restart inference-chat' to have it read again"
    warned = run_up(world.effects)
    assert (warned.started, warned.report.status) == ((), "ok")
    assert [item.subject for item in warned.warnings] == ["gpu local-chat"]
    world.gpu_memory = GpuMemory({7: GIB})
    assert ask_health(world).status == "failed"


@pytest.mark.parametrize(
    ("memory", "words"),
    [(GpuMemory(), "the GPU was lost"), (GpuMemory(problem="the driver is not loaded"), "the driver is not loaded")],
)
def test_a_gpu_that_is_lost_later_is_found(world: World, memory: GpuMemory, words: str) -> None:
    run_up(world.effects)
    world.gpu_memory = memory
    result = ask_health(world)
    assert (result.status, words in result.detail) == ("failed", True)


def test_the_engine_below_a_containers_init_is_counted_for_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.ancestors = {4711: (100, 12), 4712: (100, 12), 5000: (12,)}
    world.gpu_memory = GpuMemory({4711: 4 * GIB, 4712: GIB, 5000: 9 * GIB})
    run_up(world.effects)
    assert "the driver counts 5.0 GiB" in ask_health(world).detail

    def check_held(facts: DoctorInput) -> tuple[Finding, ...]:
        return (Finding("held", str(facts.held_gpu_bytes // GIB)),)

    monkeypatch.setattr(doctor, "check_host", check_held)
    assert [item.message for item in doctor.run_doctor(world.effects) if item.subject == "held"] == ["5"]
    world.gpu_memory = GpuMemory({5000: 9 * GIB})
    result = ask_health(world)
    assert (result.status, "the GPU was lost" in result.detail) == ("failed", True)


def test_a_container_whose_devices_were_taken_away_is_found(world: World) -> None:
    run_up(world.effects)
    get_runtime(world).lost_gpu = "Failed to initialize NVML: Unknown Error"
    result = ask_health(world)
    assert (result.status, "Failed to initialize NVML" in result.detail) == ("failed", True)
    assert "docs/guides/gpu.md" in result.hint


def test_an_engine_that_loads_its_model_is_loading_and_not_on_the_cpu(world: World) -> None:
    run_up(world.effects)
    runtime = get_runtime(world)
    runtime.restart(("inference-chat",), lambda line: None)
    runtime.unready = {"inference-chat"}
    runtime.start_logs = {"inference-chat": "load_tensors: loading model tensors\n"}
    assert ask_health(world).status == "loading"
    runtime.unready, runtime.start_logs = set(), {"inference-chat": LOG}
    assert ask_health(world).status == "ok"
