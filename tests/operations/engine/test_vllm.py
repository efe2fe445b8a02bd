"""A model with ``engine: vllm``: what it needs of a machine, what is started for it, and how its health is judged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from stackctl.core.health.probes import HealthReport, ProbeResult, Status
from stackctl.core.machine.gpu import Gpu, GpuMemory
from stackctl.core.machine.host import DiskSpace
from stackctl.core.models.files import ModelFile
from stackctl.core.stack.runtime import Answer, Phase
from stackctl.errors import ConfigError, Severity
from stackctl.operations.images.pin import run_pin
from stackctl.operations.look.doctor import run_doctor
from stackctl.operations.look.health import check_health
from stackctl.operations.run.up import preview_up, run_up
from stackctl.operations.site.load import load_site
from tests.fakes import DOCKER, SITE, World, raised_by, write_env

GIB = 1 << 30
STACK = """
models:
  local-chat: {file: Qwen3-8B, engine: vllm, slots: 8, tool_call_parser: hermes}
"""
H100 = Gpu("nvidia", 0, "NVIDIA H100", driver_version="580.1", memory_total_bytes=80 * GIB, compute_capability=(9, 0))


def build_world(runtime: str = "process", stack: str = STACK, **env: str) -> World:
    """A machine with a GPU that Docker can give away, and with a `vllm` program."""
    world = World(write_env(STACK_RUNTIME=runtime, EMBEDDING_MODEL="none", **env), stack)
    world.host = replace(world.host, docker=replace(DOCKER, runtimes=frozenset({"nvidia"})), gpus=(H100,))
    world.programs["vllm"] = "/opt/vllm/bin/vllm"
    world.gpu_memory = GpuMemory({100: 60 * GIB})
    return world


def find(report: HealthReport, layer: str) -> ProbeResult:
    return next(item for item in report.results if (item.layer, item.subject) == (layer, "local-chat"))


# What is started


@pytest.mark.parametrize("runtime", ["compose", "process"])
def test_up_starts_it_and_asks_no_other_engine_first(runtime: str) -> None:
    world = build_world(runtime)
    result = run_up(world.effects)
    assert result.report.status is Status.OK
    assert "inference-chat" in result.started
    assert not any("demo's question" in line for line in world.reports)


def test_the_key_goes_through_the_environment_and_stands_in_no_file() -> None:
    world = build_world()
    plan = run_up(world.effects).running.plan
    service = next(item for item in plan.services if item.model)
    assert plan.secrets[service.name] == {"VLLM_API_KEY": "planted-engine-key"}
    assert not any("planted-engine-key" in text for text in plan.rendered.files.values())
    assert not any("api-key" in word for word in service.arguments)


def test_it_is_told_context_slots_share_and_to_stay_offline() -> None:
    world = build_world(stack=STACK.replace("slots: 8", "slots: 8, context_length: 4096, gpu_memory: 0.5"))
    service = next(item for item in run_up(world.effects).running.plan.services if item.model)
    words = " ".join(service.arguments)
    assert service.arguments[:3] == ("/opt/vllm/bin/vllm", "serve", str(SITE / "models" / "Qwen3-8B"))
    for pair in ("--max-model-len 4096", "--max-num-seqs 8", "--gpu-memory-utilization 0.5", "--host 127.0.0.1"):
        assert pair in words
    offline = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    assert offline.items() <= service.environment.items()


def test_another_model_beside_it_keeps_the_stack_s_engine() -> None:
    world = build_world("compose", STACK + "  local-code: {file: coder.gguf}\n")
    loaded = load_site(world.effects)
    chat, code = loaded.compose.models
    assert (loaded.compose.find_engine(chat).name, loaded.compose.find_engine(code).name) == ("vllm", "llama.cpp")
    assert loaded.images.list_engines("nvidia") == (loaded.images.inference["nvidia"], loaded.images.vllm)


def test_an_image_that_no_model_needs_is_not_pulled() -> None:
    loaded = load_site(build_world("compose").effects)
    assert loaded.images.list_engines("nvidia") == ("docker.io/vllm/vllm-openai:v0.32.0",)
    assert load_site(World().effects).images.vllm == ""


def test_the_images_that_are_pinned_are_the_ones_that_run() -> None:
    world = build_world("compose")
    digest = "sha256:" + "a" * 64
    run_pin(world.effects, lambda names: dict.fromkeys(names, digest), dry_run=False)
    assert load_site(world.effects).images.vllm == f"docker.io/vllm/vllm-openai:v0.32.0@{digest}"


# What the machine must have


def test_without_a_vllm_program_nothing_is_started() -> None:
    world = build_world()
    world.programs.clear()
    error = raised_by(lambda: run_up(world.effects))
    assert isinstance(error, ConfigError)
    (finding,) = error.findings
    assert finding.subject == "models.local-chat.engine"
    assert "there is no vllm program (on PATH)" in finding.message
    assert "VLLM_PROGRAM" in finding.hint
    assert world.running == []


def test_a_program_that_is_named_and_not_there_is_named() -> None:
    world = build_world(VLLM_PROGRAM="/srv/vllm/bin/vllm")
    assert "/srv/vllm/bin/vllm" in raised_by(lambda: run_up(world.effects)).findings[0].message
    world.programs["/srv/vllm/bin/vllm"] = "/srv/vllm/bin/vllm"
    assert "inference-chat" in run_up(world.effects).started


def test_containers_without_a_gpu_are_refused_before_anything_starts() -> None:
    world = build_world("compose")
    world.host = replace(world.host, gpus=())
    error = raised_by(lambda: run_up(world.effects))
    assert "NVIDIA GPU alone" in error.findings[0].message
    assert world.running == []
    assert any(item.subject == "models.local-chat.engine" for item in run_doctor(world.effects))


def test_processes_may_compute_on_a_cpu() -> None:
    world = build_world()
    world.host, world.gpu_memory = replace(world.host, gpus=()), GpuMemory()
    gpu = find(run_up(world.effects).report, "gpu")
    assert (gpu.status, gpu.detail) == (Status.OK, "runs on the CPU; no GPU is expected")


# What cannot be served like this


@pytest.mark.parametrize(
    ("keys", "place", "words"),
    [
        ("engine: vllm, gpu_layers: 3", "gpu_layers", "vLLM does not read it"),
        ("engine: vllm, prompt_cache: 1g", "prompt_cache", "vLLM does not read it"),
        ("engine: vllm, arguments: [--api-key=x]", "arguments", "puts a key where every user of the machine sees it"),
        ("gpu_memory: 0.5", "gpu_memory", "only vLLM reads it"),
        ("tool_call_parser: hermes", "tool_call_parser", "only vLLM reads it"),
    ],
)
def test_a_key_that_would_have_no_effect_is_refused(keys: str, place: str, words: str) -> None:
    world = build_world(stack=f"models:\n  local-chat: {{file: Qwen3-8B, {keys}}}\n")
    findings = raised_by(lambda: load_site(world.effects)).findings
    assert any(item.subject == f"models.local-chat.{place}" and words in item.message for item in findings)


def test_a_mode_that_it_does_not_do_is_refused() -> None:
    world = build_world(stack="models:\n  r: {file: R, engine: vllm, mode: rerank}\n")
    assert "which vLLM does not do here" in raised_by(lambda: load_site(world.effects)).findings[0].message


def test_tools_need_the_parser_of_their_calls() -> None:
    with_parser = load_site(build_world().effects).process.models[0]
    without = load_site(build_world(stack=STACK.replace(", tool_call_parser: hermes", "")).effects).process.models[0]
    assert (with_parser.header.has_tools, without.header.has_tools) == (True, False)


def test_a_folder_for_another_engine_is_refused() -> None:
    world = build_world(stack="models:\n  local-chat: {file: Qwen3-8B}\n")
    assert "vLLM alone serves" in raised_by(lambda: load_site(world.effects)).findings[0].message


def test_a_model_that_is_not_there_is_refused() -> None:
    world = build_world()
    path = SITE / "models" / "Qwen3-8B"
    world.broken_models[path] = (ModelFile(str(path)),)
    assert "no such model folder" in raised_by(lambda: load_site(world.effects)).findings[0].message


# Health


def answer_models(world: World, **changes: object) -> None:
    """What the engine says of itself, with these changes."""
    world.runtimes["process"].engine_lists.update(changes)


@pytest.mark.parametrize(
    ("changes", "layer", "words"),
    [
        ({"max_model_len": 1024}, "context", "1024 tokens; configured is 8192"),
        ({"root": "/models/other"}, "model", "other is loaded; configured is Qwen3-8B"),
        ({"id": "someone"}, "model", "'local-chat' is not listed"),
    ],
)
def test_an_engine_that_serves_something_else_is_found(changes: dict[str, object], layer: str, words: str) -> None:
    world = build_world()
    running = run_up(world.effects).running
    answer_models(world, **changes)
    result = find(check_health(world.effects, running), layer)
    assert (result.status, words in result.detail) == (Status.FAILED, True), result


def test_a_port_that_is_silent_while_the_model_loads_is_no_fault() -> None:
    world = build_world()
    running = run_up(world.effects).running
    runtime = world.runtimes["process"]
    runtime.states["inference-chat"] = replace(runtime.states["inference-chat"], uptime_s=120, phase=Phase.RUNNING)
    runtime.silent = {"inference-chat"}
    report = check_health(world.effects, running)
    assert report.status is Status.LOADING
    runtime.states["inference-chat"] = replace(runtime.states["inference-chat"], uptime_s=4000)
    assert check_health(world.effects, running).status is Status.FAILED


@pytest.mark.parametrize(
    ("memory", "status", "words"),
    [
        (GpuMemory({100: 60 * GIB}), Status.OK, "vLLM holds 60.0 GiB of GPU memory, which the driver counts"),
        (GpuMemory({999: 60 * GIB}), Status.FAILED, "the driver counts no memory for the engine"),
        (GpuMemory({100: 1 * GIB}), Status.FAILED, "the driver counts 1.0 GiB for the engine"),
        (GpuMemory(), Status.WARNING, "no driver says what vLLM's processes hold"),
        (GpuMemory(problem="NVML: unknown error"), Status.FAILED, "NVML: unknown error"),
    ],
)
def test_the_driver_proves_the_gpu(memory: GpuMemory, status: Status, words: str) -> None:
    world = build_world("compose")
    running = run_up(world.effects).running
    world.gpu_memory = memory
    result = find(check_health(world.effects, running), "gpu")
    assert (result.status, words in result.detail) == (status, True), result


def test_what_its_child_processes_hold_counts() -> None:
    world = build_world()
    world.ancestors[777] = (100, 1)
    world.gpu_memory = GpuMemory({777: 60 * GIB})
    assert find(run_up(world.effects).report, "gpu").status is Status.OK


# Doctor and previews


def test_doctor_says_what_the_share_holds() -> None:
    found = [item for item in run_doctor(build_world().effects) if item.subject == "GPU memory"]
    assert [item.severity for item in found] == [Severity.OK]
    assert "vLLM takes 72.0 GiB (90% of 1 GPU): weights" in found[0].message


def test_a_preview_says_what_would_be_started() -> None:
    world = build_world()
    preview = preview_up(world.effects)
    assert "/opt/vllm/bin/vllm" in preview.difference
    assert world.running == []


def test_every_file_of_the_folder_is_mounted_by_its_name() -> None:
    world = build_world("compose")
    text = run_up(world.effects).running.plan.rendered.files["compose.p1.yml"]
    for path in load_site(world.effects).compose.models[0].shards:
        assert f'"/models/Qwen3-8B/{Path(path).name}"' in text


def test_an_answer_that_is_no_list_skips_what_cannot_be_judged() -> None:
    world = build_world()
    running = run_up(world.effects).running
    world.runtimes["process"].engine_answer = Answer(500, "no")
    report = check_health(world.effects, running)
    assert [find(report, layer).status for layer in ("model", "context")] == [Status.SKIPPED, Status.SKIPPED]


def test_the_disk_for_its_image_is_asked_for() -> None:
    world = build_world("compose")
    docker = replace(world.host.docker or DOCKER, root_dir="/var/lib/docker")
    disks = {"/var/lib/docker": DiskSpace(20 * GIB)}
    world.host = replace(world.host, docker=docker, disks=disks)
    messages = [item.message for item in run_doctor(world.effects) if item.subject == "disk"]
    assert "20.0 GiB free for images, 32.0 GiB expected" in messages
