"""How one engine of ours starts in one runtime: its command line, its environment, where it takes its key from. Pure.

In: settings, the stack's engine, a model, a runtime's paths. Out: an ``EngineStart``. The engine of the stack serves
GGUF files; a model with an engine of its own is vLLM's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stackctl.core.engine.engines import (
    API_KEY_VARIABLE,
    Accelerator,
    Engine,
    EngineParameters,
    build_arguments,
    build_environment,
)
from stackctl.core.engine.vllm import (
    VLLM,
    VLLM_KEY_VARIABLE,
    VllmParameters,
    build_container_environment,
    build_process_environment,
    build_vllm_arguments,
    build_vllm_environment,
)
from stackctl.core.models.kv_cache import build_cache_cost

if TYPE_CHECKING:
    from stackctl.core.models.served import ServedModel
    from stackctl.core.settings.settings import Settings
    from stackctl.core.stack.stack import RuntimePaths

# Slowest reading that a deadline allows for: a network share or a Windows drive seen from WSL2.
SLOWEST_READ_BYTES_PER_S = 50 * 1024 * 1024
ENGINE_START_S = 60.0
# vLLM imports PyTorch, and on a GPU compiles the model and captures it for every batch size before it answers.
VLLM_START_S = 900.0
# At its default the engine's log does not say how many layers are on the GPU, which health proves.
GPU_LOG_VERBOSITY = "4"


@dataclass(frozen=True, slots=True)
class EngineStart:
    """What starts one engine.

    Attributes:
        arguments: command line; in a container, what follows the entry point.
        environment: variables beside those that the operator gives the model.
        key_variable: variable in which the engine finds its key.
        ready_timeout_s: seconds that the engine may take until it is ready.
    """

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    key_variable: str
    health_path: str
    ready_timeout_s: float


def build_engine_start(settings: Settings, engine: Engine, model: ServedModel, paths: RuntimePaths) -> EngineStart:
    """Put together what starts the engine of a model.

    Args:
        engine: engine of the stack, which serves the model unless that has one of its own.
    """
    parameters = _build_parameters(settings, model, paths)
    reading_s = model.size_bytes / SLOWEST_READ_BYTES_PER_S
    if model.is_vllm:
        own = VllmParameters(
            model.gpu_memory_share, model.tool_call_parser, _count_kv_bytes(model), bool(paths.vllm_modules)
        )
        return EngineStart(
            arguments=(*paths.vllm_command, *build_vllm_arguments(parameters, own)),
            environment=_build_vllm_environment(parameters, own, paths),
            key_variable=VLLM_KEY_VARIABLE,
            health_path=VLLM.health_path,
            ready_timeout_s=VLLM_START_S + reading_s,
        )
    return EngineStart(
        arguments=(*paths.engine_command, *build_arguments(engine, parameters)),
        environment=_build_environment(settings, engine, parameters, paths),
        key_variable=API_KEY_VARIABLE,
        health_path=engine.health_path,
        ready_timeout_s=ENGINE_START_S + reading_s,
    )


def _build_parameters(settings: Settings, model: ServedModel, paths: RuntimePaths) -> EngineParameters:
    needs_pooling = model.mode == "embedding" and not model.header.pooling_type
    return EngineParameters(
        model_path=paths.find_model_path(model.path),
        alias=model.served_name,
        # In a container only the internal network reaches it; as a process, only this machine.
        host="0.0.0.0" if paths.runtime == "compose" else "127.0.0.1",  # noqa: S104
        port=model.port,
        context_length=model.context_length,
        slots=model.slots,
        mode=model.mode,
        gpu_layers=model.gpu_layers,
        # The demo model is so small that a second thread waits longer than it computes: 581 tokens/s instead of 1599.
        threads=settings.inference_threads or (1 if model.is_demo else paths.engine_threads),
        pooling="mean" if needs_pooling else None,
        accelerator=find_accelerator(settings),
        gpu_devices=_list_gpu_devices(settings, paths),
        cache_type=None if settings.kv_cache_type == "f16" else settings.kv_cache_type,
        prompt_cache_mib=model.prompt_cache_mib,
        extra_arguments=model.arguments,
    )


def _list_gpu_devices(settings: Settings, paths: RuntimePaths) -> tuple[str, ...]:
    """The GPU devices that a process must keep to; empty for a container, which sees no others."""
    if paths.runtime == "compose" or settings.gpu_devices == "all":
        return ()
    return tuple(settings.gpu_devices.split(","))


def _build_environment(
    settings: Settings, engine: Engine, parameters: EngineParameters, paths: RuntimePaths
) -> dict[str, str]:
    environment = build_environment(engine, parameters) | dict(paths.engine_environment)
    if paths.runtime == "compose":
        return environment | {"HOME": paths.scratch}
    if engine.gpu and settings.stack_gpu != "none":
        return environment | {"LLAMA_ARG_LOG_VERBOSITY": GPU_LOG_VERBOSITY}
    return environment


def _build_vllm_environment(parameters: EngineParameters, own: VllmParameters, paths: RuntimePaths) -> dict[str, str]:
    environment = build_vllm_environment(parameters)
    if paths.runtime == "compose":
        return environment | build_container_environment()
    return environment | build_process_environment(paths.scratch, own.kv_bytes, paths.vllm_modules)


def _count_kv_bytes(model: ServedModel) -> int:
    return build_cache_cost(model.header).compute_bytes(model.context_length, model.slots)


def find_accelerator(settings: Settings) -> Accelerator:
    """The accelerator whose variable hides the devices that were not chosen: the named kind's, else NVIDIA's."""
    kinds: dict[str, Accelerator] = {"none": "none", "amd": "amd", "vulkan": "vulkan"}
    return kinds.get(settings.stack_gpu, "nvidia")
