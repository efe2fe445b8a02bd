"""A GPU on a machine without Docker: what is said of an engine for it, when it is built, and what when it cannot be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stackctl.core.engine.build import Toolkit, parse_build, plan_gpu_build, write_build
from stackctl.core.machine.gpu import Gpu
from stackctl.core.machine.host import Host
from stackctl.errors import ConfigError, EngineRefused, Finding, RuntimeFailure
from stackctl.operations.look.doctor import run_doctor
from stackctl.operations.run.up import UpResult, run_up
from tests.fakes import World, raised_by, write_env

H200 = Gpu(
    "nvidia", 0, "NVIDIA H200", driver_version="580.159.03", memory_total_bytes=140 << 30, compute_capability=(9, 0)
)
NVCC = Toolkit("/usr/local/cuda/bin/nvcc", "13.0")
BUILT = "/cache/llama.cpp/cuda-90/llama-server"


@pytest.fixture
def gpu_world(world: World) -> World:
    """An H200 with CUDA's compiler, 16 cores and no Docker."""
    world.host = Host(gpus=(H200,), cpu_count=16)
    world.engines.toolkit = NVCC
    configure(world)
    return world


def configure(world: World, **settings: str) -> None:
    world.files[world.site / ".env"] = write_env(STACK_RUNTIME="process", **settings)


def find_program(world: World) -> str:
    plan = world.runtimes["process"].plan
    assert plan is not None
    return plan.services[0].arguments[0]


def render(findings: tuple[Finding, ...], subject: str) -> str:
    return " | ".join(f"{item.message} -> {item.hint}" for item in findings if item.subject == subject)


def up(world: World, **flags: str) -> UpResult:
    world.flags |= flags
    # No driver counts the fake engine's memory; what was built and chosen is what these tests are about.
    world.runtimes["process"].log = "load_tensors: offloaded 5/5 layers to GPU\nCUDA0 model buffer size = 10.00 MiB\n"
    return run_up(world.effects)


def test_a_person_at_a_terminal_is_asked_with_the_time_it_takes(gpu_world: World) -> None:
    up(gpu_world)
    question = "NVIDIA H200 is there, and an engine for it can be built (about 5 minutes, once). Build it now?"
    assert gpu_world.questions == [question]
    assert gpu_world.engines.made == []


def test_without_an_answer_the_cpu_computes_and_the_command_is_named(gpu_world: World) -> None:
    result = up(gpu_world)
    said = render(result.warnings, "STACK_GPU")
    assert "NVIDIA H200 is there, but the engine xllamacpp of the process runtime computes on the CPU" in said
    assert "build an engine for it, about 5 minutes here: stackctl up --build-engine; or set STACK_GPU=none" in said
    assert find_program(gpu_world).endswith("bin/python")


def test_doctor_says_it_before_anything_starts(gpu_world: World) -> None:
    said = render(run_doctor(gpu_world.effects), "STACK_GPU")
    assert "build an engine for it, about 5 minutes here: stackctl up --build-engine" in said
    assert gpu_world.questions == []
    assert gpu_world.engines.made == []


def test_a_yes_builds_for_this_card_and_the_new_engine_serves(gpu_world: World) -> None:
    gpu_world.says_yes = True
    up(gpu_world)
    (build,) = gpu_world.engines.made
    assert build.arguments == ("--gpu", "cuda", "--architecture", "90")
    assert dict(build.environment) == {"CUDACXX": "/usr/local/cuda/bin/nvcc"}
    assert find_program(gpu_world) == BUILT
    assert "building llama-server for NVIDIA H200: compile 50%" in gpu_world.reports
    up(gpu_world)
    assert len(gpu_world.questions) == 1


def test_the_option_builds_without_a_question(gpu_world: World) -> None:
    up(gpu_world, STACK_BUILD_ENGINE="always")
    assert gpu_world.questions == []
    assert find_program(gpu_world) == BUILT


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"STACK_GPU": "none"}, "STACK_GPU=none"),
        ({"INFERENCE_ENGINE": "xllamacpp"}, "INFERENCE_ENGINE=xllamacpp leaves no choice"),
    ],
)
def test_the_option_never_does_nothing_in_silence(gpu_world: World, settings: dict[str, str], said: str) -> None:
    configure(gpu_world, **settings)
    result = up(gpu_world, STACK_BUILD_ENGINE="always")
    assert render(result.warnings, "STACK_BUILD_ENGINE") == f"no engine was built: {said} -> "
    assert gpu_world.engines.made == []


def test_the_option_says_that_there_is_no_gpu(gpu_world: World) -> None:
    gpu_world.host = Host(cpu_count=16)
    result = up(gpu_world, STACK_BUILD_ENGINE="always")
    assert "no engine was built: no GPU found" in render(result.warnings, "STACK_BUILD_ENGINE")


def test_never_asks_and_builds_nothing(gpu_world: World) -> None:
    gpu_world.says_yes = True
    configure(gpu_world, STACK_BUILD_ENGINE="never")
    up(gpu_world)
    assert (gpu_world.questions, gpu_world.engines.made) == ([], [])


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (RuntimeFailure("llama-server could not be built: nvcc fatal"), "llama-server could not be built: nvcc fatal"),
        (EngineRefused("died of SIGSEGV in ggml_cuda_init"), "the llama-server built for it died of SIGSEGV"),
    ],
)
def test_a_build_that_fails_falls_back_to_the_cpu_and_says_why(
    gpu_world: World, failure: RuntimeFailure, said: str
) -> None:
    gpu_world.engines.build_failure = failure
    result = up(gpu_world, STACK_BUILD_ENGINE="always")
    assert f"the CPU computes, not NVIDIA H200: {said}" in render(result.warnings, "STACK_BUILD_ENGINE")
    assert find_program(gpu_world).endswith("bin/python")


def test_what_was_built_and_did_not_answer_is_built_again_only_by_command(gpu_world: World) -> None:
    gpu_world.says_yes = True
    gpu_world.engines.build_failure = EngineRefused("died of SIGSEGV")
    up(gpu_world)
    gpu_world.engines.build_failure = None
    result = up(gpu_world)
    assert len(gpu_world.questions) == 1
    assert "the llama-server built for it died of SIGSEGV" in render(result.warnings, "STACK_BUILD_ENGINE")
    result = up(gpu_world, STACK_BUILD_ENGINE="always")
    assert len(gpu_world.engines.made) == 1
    assert find_program(gpu_world) == BUILT, "this build answers: what the one before it did is forgotten"
    assert render(result.warnings, "INFERENCE_ENGINE") == ""


@pytest.mark.parametrize("is_lasting", [True, False])
def test_only_what_would_happen_again_is_remembered_of_a_build(gpu_world: World, is_lasting: bool) -> None:
    gpu_world.engines.build_failure = EngineRefused("died of SIGKILL", is_lasting=is_lasting)
    up(gpu_world, STACK_BUILD_ENGINE="always")
    assert ((BUILT,) in gpu_world.engines.kept) is is_lasting


def test_a_built_engine_that_stops_answering_here_is_passed_over(gpu_world: World) -> None:
    """Its driver changed, or the home folder is another machine's."""
    gpu_world.says_yes, gpu_world.engines.is_known = True, False
    gpu_world.engines.failures["cuda-90"] = "died of SIGABRT in ggml_cuda_error"
    gpu_world.engines.incurable.add("cuda-90")
    result = up(gpu_world)
    assert "xllamacpp serves instead" in render(result.warnings, "INFERENCE_ENGINE")
    assert find_program(gpu_world).endswith("bin/python")


def test_without_a_compiler_it_is_said_what_to_install(gpu_world: World) -> None:
    gpu_world.engines.toolkit = Toolkit(missing=("CMake",))
    said = render(run_doctor(gpu_world.effects), "STACK_GPU")
    assert "this machine lacks the CUDA toolkit (nvcc) and CMake: install the CUDA toolkit (nvcc) and CMake" in said
    up(gpu_world)
    assert gpu_world.questions == []


def test_a_gpu_that_is_insisted_on_names_the_command(gpu_world: World) -> None:
    configure(gpu_world, STACK_GPU="nvidia")
    error = raised_by(lambda: up(gpu_world))
    assert isinstance(error, ConfigError)
    assert "stackctl up --build-engine" in error.hint


def test_a_gpu_that_is_insisted_on_says_why_no_engine_was_built(gpu_world: World) -> None:
    configure(gpu_world, STACK_GPU="nvidia")
    gpu_world.engines.build_failure = RuntimeFailure("llama-server could not be built: nvcc fatal")
    error = raised_by(lambda: up(gpu_world, STACK_BUILD_ENGINE="always"))
    assert isinstance(error, ConfigError)
    assert "computes on the CPU" in error.message
    assert "nvcc fatal" in render(tuple(error.findings), "STACK_BUILD_ENGINE")


def test_a_toolkit_that_the_driver_cannot_run_builds_nothing() -> None:
    host = Host(gpus=(replace(H200, driver_version="550.54.14"),), cpu_count=16)
    plan = plan_gpu_build(host, "nvidia", "all", NVCC)
    assert plan.build is None
    assert "CUDA 13 needs 580 or newer" in plan.problem


@pytest.mark.parametrize(("cores", "said"), [(2, "about 40 minutes"), (16, "about 5 minutes"), (128, "about a minute")])
def test_the_time_is_scaled_by_cores(cores: int, said: str) -> None:
    plan = plan_gpu_build(Host(gpus=(H200,), cpu_count=cores), "nvidia", "all", NVCC)
    assert plan.render_duration() == said


def test_every_card_that_is_used_is_built_for() -> None:
    cards = (H200, replace(H200, index=1, name="NVIDIA A10", compute_capability=(8, 6)))
    host = Host(gpus=cards, cpu_count=16)
    both, one = (plan_gpu_build(host, "nvidia", devices, NVCC).build for devices in ("all", "1"))
    assert both is not None
    assert one is not None
    assert both.arguments[-1] == "86;90"
    assert one.arguments[-1] == "86"
    assert parse_build(write_build(both)) == both


@pytest.mark.parametrize(("kind", "switch"), [("amd", "hip"), ("vulkan", "vulkan")])
def test_other_kinds_of_gpu_have_their_own_switch(kind: str, switch: str) -> None:
    card = Gpu(kind, 0, "A card")  # type: ignore[arg-type]
    plan = plan_gpu_build(Host(gpus=(card,)), kind, "all", Toolkit("/usr/bin/compiler", "6.2"))
    assert plan.build is not None
    assert plan.build.arguments == ("--gpu", switch)
    assert plan.render_duration() == "some minutes"
