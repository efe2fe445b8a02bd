"""The inference engines: what each can do, and the command line and environment that start it.

Values in, values out, no I/O. Every engine takes the same command line, the flags of llama.cpp's
``llama-server``: the launchers in ``services/inference/`` understand the part of it that is built here.
Settings that never vary go through the environment, because ``llama-server`` ignores a variable it does
not know and exits on a flag it does not know, and the official image, Debian's package and a build from
source are of different ages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

Mode = Literal["chat", "embedding", "rerank"]
Accelerator = Literal["none", "nvidia", "amd", "vulkan"]

ENGINE_FOLDER = "services/inference"
AUTO = "auto"

# The secret travels in this variable for every engine, never in an argument list.
API_KEY_VARIABLE = "LLAMA_API_KEY"

# llama.cpp rounds the context of a slot up to a multiple of this many tokens.
CONTEXT_STEP = 256

# A streamed answer holds one HTTP thread until its last token, and so does a request that waits for a
# slot. Spare threads keep /health and /metrics answering while clients queue.
SPARE_HTTP_THREADS = 32

# llama.cpp's threads wait for each other several hundred times a token. By default they spin without end, which is
# ruinous where other processes want the CPU too; asleep at once they cost an idle machine a third of its speed. A
# short spin is the fastest idle and as good as sleep busy: figures in docs/decisions/process-engine.md.
THREADS_WAIT: Mapping[str, str] = MappingProxyType({"GOMP_SPINCOUNT": "1000"})

# An input must fit into one batch to be embedded; buffers grow with the batch, so it is bounded.
MAX_EMBEDDING_BATCH = 8192

# Nothing is compiled when llama-cpp-python is installed: its library comes out of our own build of llama.cpp, which
# makes llama-server of the same objects.
_WITHOUT_LIBRARY = "-DLLAMA_BUILD=OFF -DLLAVA_BUILD=OFF"

# Where llama-cpp-python finds that library.
LIBRARY_VARIABLE = "LLAMA_CPP_LIB_PATH"

# Official images, by accelerator, at builds whose tags are published. Build numbers only grow; to move
# to another one, change it here and run the Docker tests.
OFFICIAL_IMAGES: Mapping[Accelerator, str] = MappingProxyType(
    {
        "none": "ghcr.io/ggml-org/llama.cpp:server-b11347",
        "nvidia": "ghcr.io/ggml-org/llama.cpp:server-cuda-b11347",
        "amd": "ghcr.io/ggml-org/llama.cpp:server-rocm-b11312",
        "vulkan": "ghcr.io/ggml-org/llama.cpp:server-vulkan-b11347",
    }
)

# The variable with which each driver stack hides all but the chosen devices from a process.
_VISIBLE_DEVICES: Mapping[Accelerator, str] = MappingProxyType(
    {
        "nvidia": "CUDA_VISIBLE_DEVICES",
        "amd": "HIP_VISIBLE_DEVICES",
        "vulkan": "GGML_VK_VISIBLE_DEVICES",
    }
)


@dataclass(frozen=True, slots=True)
class EngineParameters:
    """What one engine process is started with: one model, served under one name.

    Attributes:
        model_path: path of the GGUF file (the first one of a split model) as the engine sees it.
        alias: served name of the model.
        context_length: tokens of each slot.
        slots: number of requests answered at the same time.
        gpu_layers: layers to offload; None lets the engine fit as many as the device holds, 0 is CPU.
        threads: CPU threads; None lets the engine decide.
        pooling: how token vectors become one; None takes what the model file says. A chat model that serves embeddings
            needs "mean".
        gpu_devices: identifiers as the driver counts them (``0``, or a UUID with NVIDIA); empty is all.
        flash_attention: "on", "off" or "auto"; None is the engine's default.
        cache_type: element type of the KV cache (``f16``, ``q8_0`` ...); None is the engine's default.
        prompt_cache_mib: MiB of host memory for the prompts of past requests, 0 for none.
        extra_arguments: arguments appended as they are; the engine refuses what it does not know.
    """

    model_path: str
    alias: str
    host: str
    port: int
    context_length: int
    slots: int
    mode: Mode = "chat"
    gpu_layers: int | None = None
    threads: int | None = None
    pooling: str | None = None
    accelerator: Accelerator = "none"
    gpu_devices: tuple[str, ...] = ()
    flash_attention: Literal["on", "off", "auto"] | None = None
    cache_type: str | None = None
    prompt_cache_mib: int = 0
    extra_arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Engine:
    """What one engine is and can do.

    Attributes:
        name: value of ``INFERENCE_ENGINE``.
        description: text for people, with what the engine does not do.
        batching: whether requests share a forward pass; if not, they queue.
        max_slots: most requests at the same time, None where the engine sets no limit.
        modes: modes of the models that the engine can serve.
        launcher: script in ``services/inference/`` that a Python interpreter runs; None for a binary.
        lock_file: hashed requirements of that interpreter's environment, beside the launcher.
        install_variables: variables that the installation of the lock file needs.
        cpu_features: x86-64 flags (as in /proc/cpuinfo) without which the engine dies of an illegal instruction.
        gpu: whether the form that the process runtime installs can use a GPU.
    """

    name: str
    title: str
    description: str
    batching: bool
    max_slots: int | None = None
    modes: frozenset[Mode] = frozenset({"chat", "embedding", "rerank"})
    launcher: str | None = None
    lock_file: str | None = None
    install_variables: Mapping[str, str] = field(default_factory=dict)
    cpu_features: frozenset[str] = frozenset()
    gpu: bool = False
    health_path: str = "/health"
    props_path: str = "/props"
    models_path: str = "/v1/models"
    slots_path: str | None = "/slots"
    metrics_path: str | None = "/metrics"


_HASWELL = frozenset({"avx2", "fma", "f16c", "bmi2"})

LLAMA_CPP = Engine(
    name="llama.cpp",
    title="llama.cpp server",
    description="llama.cpp's own server binary: the official image with Docker, llama-server on PATH "
    "without. Slots and continuous batching, GPU as the binary was built.",
    batching=True,
    gpu=True,
)

XLLAMACPP = Engine(
    name="xllamacpp",
    title="llama.cpp server (prebuilt wheel)",
    description="llama.cpp's own server in a Python process, from a prebuilt wheel: seconds to install, "
    "slots and continuous batching, CPU only.",
    batching=True,
    launcher="xllamacpp_server.py",
    lock_file="requirements-xllamacpp.lock",
    cpu_features=_HASWELL,
)

LLAMA_CPP_PYTHON = Engine(
    name="llama-cpp-python",
    title="llama-cpp-python server",
    description="llama.cpp behind a Python server, compiled when it is installed: minutes to install, runs "
    "where there is no wheel, one request at a time (others wait), no reranking, no metrics.",
    batching=False,
    max_slots=1,
    modes=frozenset({"chat", "embedding"}),
    launcher="llama_cpp_python_server.py",
    lock_file="requirements.lock",
    install_variables=MappingProxyType({"CMAKE_ARGS": _WITHOUT_LIBRARY}),
    slots_path=None,
    metrics_path=None,
)

ENGINES: Mapping[str, Engine] = MappingProxyType(
    {engine.name: engine for engine in (LLAMA_CPP, XLLAMACPP, LLAMA_CPP_PYTHON)}
)


def can_use_gpu(engine: Engine, runtime: str, accelerator: str) -> bool:
    """Whether the engine, as this runtime has it, computes on such a GPU; other forms are built for the CPU."""
    return engine is LLAMA_CPP or (engine is LLAMA_CPP_PYTHON and runtime == "compose" and accelerator == "nvidia")


def limit_slots(engine: Engine, slots: int) -> int:
    """The slots that the engine will really have when ``slots`` are asked for."""
    return slots if engine.max_slots is None else min(slots, engine.max_slots)


def round_context(tokens: int, trained: int) -> int:
    """The context per slot that llama.cpp makes of ``tokens``, so that what we say is what it reports.

    It rounds up to ``CONTEXT_STEP``, and its server cuts at the length the model was trained for.
    """
    return min(trained, -(-tokens // CONTEXT_STEP) * CONTEXT_STEP)


def build_arguments(engine: Engine, parameters: EngineParameters) -> tuple[str, ...]:
    """The command line after the executable (or after the launcher).

    The context given is that of all slots together, because an explicit ``--parallel`` divides it:
    ``/props`` and ``/slots`` then report ``context_length`` for each slot.
    """
    slots = limit_slots(engine, parameters.slots)
    pairs: list[tuple[str, object]] = [
        ("--model", parameters.model_path),
        ("--alias", parameters.alias),
        ("--host", parameters.host),
        ("--port", parameters.port),
        ("--ctx-size", parameters.context_length * slots),
        ("--parallel", slots),
        ("--n-gpu-layers", parameters.gpu_layers),
        ("--threads", parameters.threads),
        ("--flash-attn", parameters.flash_attention),
        ("--cache-type-k", parameters.cache_type),
        ("--cache-type-v", parameters.cache_type),
        ("--pooling", parameters.pooling),
    ]
    arguments = [str(item) for flag, value in pairs if value is not None for item in (flag, value)]
    return (*arguments, *_build_mode_arguments(parameters, slots), *parameters.extra_arguments)


def _build_mode_arguments(parameters: EngineParameters, slots: int) -> tuple[str, ...]:
    if parameters.mode == "chat":
        return ()
    # The engine aborts when slots that pool do not share a batch evenly; up, so that a whole context still fits.
    batch = str(-(-min(parameters.context_length, MAX_EMBEDDING_BATCH) // slots) * slots)
    flag = "--embeddings" if parameters.mode == "embedding" else "--reranking"
    return (flag, "--batch-size", batch, "--ubatch-size", batch)


def build_environment(engine: Engine, parameters: EngineParameters) -> dict[str, str]:
    """The engine's environment without its secret, which goes into ``API_KEY_VARIABLE``."""
    environment = dict(THREADS_WAIT)
    device_variable = _VISIBLE_DEVICES.get(parameters.accelerator)
    if device_variable and parameters.gpu_devices:
        environment[device_variable] = ",".join(parameters.gpu_devices)
    if engine is not LLAMA_CPP_PYTHON:
        environment |= _build_llama_server_environment(
            limit_slots(engine, parameters.slots), parameters.prompt_cache_mib
        )
    return environment


def _build_llama_server_environment(slots: int, prompt_cache_mib: int) -> dict[str, str]:
    return {
        # By default each new request copies every idle slot into the cache; now only the slot that it takes over.
        "LLAMA_ARG_CACHE_IDLE_SLOTS": "0",
        "LLAMA_ARG_CACHE_RAM": str(prompt_cache_mib),
        # By default any origin is reflected, so any web page could use a server on this machine. No
        # page has the origin "none".
        "LLAMA_ARG_CORS_CREDENTIALS": "0",
        "LLAMA_ARG_CORS_ORIGINS": "none",
        "LLAMA_ARG_ENDPOINT_METRICS": "1",
        "LLAMA_ARG_ENDPOINT_SLOTS": "1",
        "LLAMA_ARG_JINJA": "1",
        "LLAMA_ARG_OFFLINE": "1",
        "LLAMA_ARG_THREADS_HTTP": str(slots + SPARE_HTTP_THREADS),
        "LLAMA_ARG_UI": "0",
        "LLAMA_ARG_WEBUI": "0",  # its name before it was LLAMA_ARG_UI
    }
