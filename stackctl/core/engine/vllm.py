"""vLLM as an engine: the command line and environment that start it. Values in, values out, no I/O.

It serves a Hugging Face folder where every other engine serves GGUF files, so it is chosen for one model, with
``engine: vllm`` in `stack.yml`, and never for all. Figures and behaviour: vLLM 0.32, docs/decisions/vllm.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Final

from stackctl.core.engine.engines import Engine, EngineParameters

VLLM: Final = Engine(
    name="vllm",
    title="vLLM",
    description="vLLM's own server for a Hugging Face folder: the official image with Docker and an NVIDIA GPU, a vllm "
    "program of this machine without. Paged KV cache and continuous batching.",
    batching=True,
    modes=frozenset({"chat", "embedding"}),
    gpu=True,
    props_path="/v1/models",
    slots_path=None,
)
# Words that make the program a server; the official image has them as its entry point, in some versions others.
SERVE: Final = ("vllm", "serve")
# The secret travels in this variable, never in an argument list.
VLLM_KEY_VARIABLE: Final = "VLLM_API_KEY"
# Module and class of services/inference that make it ask for the key on more than its routes below /v1.
KEY_MIDDLEWARE: Final = "vllm_key.RequireKey"
# What its image is for, as a bundle's manifest says it: the official one computes on NVIDIA's GPUs.
VLLM_USE: Final = "vllm.nvidia"
# vLLM's own default.
GPU_MEMORY_SHARE: Final = 0.9
# Where a container of it may write what it compiles, and load that from: /tmp lets nothing be run.
CACHE_FOLDER: Final = "/cache"
# What keeps it to itself: no model is looked up, nothing is reported, its own processes talk over loopback.
OFFLINE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_HOST_IP": "127.0.0.1",
        "VLLM_NO_USAGE_STATS": "1",
    }
)
_GIB: Final = 1 << 30
_PARALLEL_FLAGS: Final = ("--tensor-parallel-size", "-tp", "--pipeline-parallel-size", "-pp")


@dataclass(frozen=True, slots=True)
class VllmParameters:
    """What only vLLM is told.

    Attributes:
        gpu_memory_share: share of each GPU's memory that it takes for itself, 0 to 1.
        tool_call_parser: its name of the parser of the model's tool calls; empty for none.
        kv_bytes: bytes of the KV cache that fills every slot, which it is given where a CPU computes.
        asks_everywhere: whether it asks for the key on every route, by a module of ours that it must find.
    """

    gpu_memory_share: float = GPU_MEMORY_SHARE
    tool_call_parser: str = ""
    kv_bytes: int = 0
    asks_everywhere: bool = False


def build_vllm_arguments(parameters: EngineParameters, own: VllmParameters) -> tuple[str, ...]:
    """The command line after ``vllm serve``; one context is at most ``--max-model-len``, whatever the others take."""
    pairs = (
        ("--served-model-name", parameters.alias),
        ("--host", parameters.host),
        ("--port", parameters.port),
        ("--max-model-len", parameters.context_length),
        ("--max-num-seqs", parameters.slots),
        ("--gpu-memory-utilization", f"{own.gpu_memory_share:g}"),
        # Without it a folder without safetensors would be read as pickles, which run code.
        ("--load-format", "safetensors"),
    )
    words = [str(item) for pair in pairs for item in pair]
    words += ["--disable-fastapi-docs", "--disable-uvicorn-access-log"]
    if own.tool_call_parser:
        words += ["--enable-auto-tool-choice", "--tool-call-parser", own.tool_call_parser]
    if own.asks_everywhere:
        words += ["--middleware", KEY_MIDDLEWARE]
    if parameters.mode == "embedding":
        words += ["--runner", "pooling"]
    return (parameters.model_path, *words, *parameters.extra_arguments)


def build_vllm_environment(parameters: EngineParameters) -> dict[str, str]:
    """The environment in every runtime, without the secret, which goes into ``VLLM_KEY_VARIABLE``."""
    environment = dict(OFFLINE)
    if parameters.gpu_devices:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(parameters.gpu_devices)
    return environment


def build_container_environment() -> dict[str, str]:
    """What a container of it needs where its root is read-only and its user has no name."""
    return {
        "HOME": CACHE_FOLDER,
        "TORCHINDUCTOR_CACHE_DIR": f"{CACHE_FOLDER}/inductor",
        "USER": "vllm",
        "VLLM_CACHE_ROOT": f"{CACHE_FOLDER}/vllm",
    }


def build_process_environment(scratch: str, kv_bytes: int, modules: str) -> dict[str, str]:
    """What a process of it needs: caches in the site's own folder, and on a CPU a bound on its KV cache.

    Args:
        scratch: absolute path of a folder that it may write to.
        kv_bytes: bytes that fill every slot; a build for a GPU does not read the variable.
        modules: folder in which it finds ``KEY_MIDDLEWARE``.
    """
    return {
        "PYTHONPATH": modules,
        "VLLM_CACHE_ROOT": f"{scratch}/vllm",
        "VLLM_CPU_KVCACHE_SPACE": str(max(-(-kv_bytes // _GIB), 1)),
    }


def count_gpus(arguments: tuple[str, ...]) -> int:
    """GPUs that one model is spread over, by the arguments that the operator added."""
    count = 1
    words = [part for word in arguments for part in word.split("=", 1)]
    for flag, value in pairwise(words):
        if flag in _PARALLEL_FLAGS and value.isdecimal():
            count *= max(int(value), 1)
    return count
