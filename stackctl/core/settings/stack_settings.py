"""Settings of the stack, its models and its engines. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from stackctl.core.settings.declare import declare

_NAME = r"[a-z0-9][a-z0-9_-]{0,62}"
_MEMORY = r"auto|0|[1-9][0-9]*[kmg]"
_MEMORY_TEXT = "auto, 0 or a size such as 24g"
_GROUPS = r"[A-Za-z0-9_-]+(,[A-Za-z0-9_-]+)*"
_HTTP_URL = r"https?://[^\s/@?#]+(/[^\s@?#]*)?"
_DEVICES = r"all|[A-Za-z0-9:._-]+(,[A-Za-z0-9:._-]+)*"


@dataclass(frozen=True, slots=True)
class StackSettings:
    """How the stack runs, which models it serves, and what its engines are given."""

    stack_name: str = declare(
        "ai-stack",
        "Name of the Compose project and of the stack on this machine.",
        group="Stack",
        pattern=_NAME,
        expected="lower-case letters, digits, '-' and '_'",
    )
    stack_profile: str = declare("p1", "Which set of services to run.", group="Stack", choices=("p1",))
    stack_apps: str = declare(
        "",
        "Services beside the gateway and the engines, separated by commas; empty runs none.",
        group="Stack",
        choices=(
            "redis",
            "postgres",
            "observability",
            "lan",
            "chat-api",
            "agents",
        ),
        several=True,
    )
    stack_runtime: str = declare(
        "auto",
        "How services run: containers, or supervised processes where there is no Docker engine.",
        group="Stack",
        choices=("auto", "compose", "process"),
    )
    stack_gpu: str = declare(
        "auto", "Which GPU the engine uses.", group="Stack", choices=("auto", "none", "nvidia", "amd", "vulkan")
    )
    stack_build_engine: str = declare(
        "ask",
        "Build an engine for a GPU that the process runtime's own leaves alone: 'ask' does so on a terminal.",
        group="Stack",
        choices=("ask", "always", "never"),
    )
    gpu_devices: str = declare(
        "all",
        "GPU indices or UUIDs to use, separated by commas.",
        group="Stack",
        pattern=_DEVICES,
        expected="'all' or a list such as 0,1",
    )
    gpu_access: str = declare(
        "auto",
        "How containers reach an NVIDIA GPU: the container toolkit's runtime, or CDI devices, which outlive"
        " 'systemctl daemon-reload'; auto takes CDI where the engine has nothing else.",
        group="Stack",
        choices=("auto", "toolkit", "cdi"),
    )
    gpu_groups: str = declare(
        "video,render",
        "Groups that own the AMD or Vulkan device files; numbers where the image lacks the names.",
        group="Stack",
        pattern=_GROUPS,
        expected="a list such as 44,992",
    )
    log_max_size: str = declare(
        "20m",
        "Size at which a service's log file is put aside and a new one begun.",
        group="Stack",
        pattern=r"[1-9][0-9]*[kmg]",
        expected="a size such as 20m",
    )
    log_max_files: int = declare(
        25,
        "Log files kept of each service; a container's are compressed, and 12 times as many are kept on a GPU.",
        group="Stack",
        bounds=(2, 1000),
        unit="files",
    )

    chat_model: str = declare(
        "", "GGUF file in MODELS_DIR served as local-chat; empty serves the demo model.", group="Models"
    )
    code_model: str = declare("", "GGUF file served as local-code; empty serves none.", group="Models")
    embedding_model: str = declare(
        "", "GGUF file served as local-embed; empty serves the demo model, 'none' serves none.", group="Models"
    )
    models_dir: str = declare("models", "Folder of GGUF files, relative to the site or absolute.", group="Models")
    context_length: int = declare(
        0,
        "Context of each slot; 0 takes the model's own, up to 8192.",
        group="Models",
        bounds=(0, 16_777_216),
        unit="tokens",
    )
    inference_slots: int = declare(
        4, "Requests that one engine answers at the same time.", group="Models", bounds=(1, 256), unit="slots"
    )
    kv_cache_type: str = declare(
        "f16", "Element type of the KV cache.", group="Models", choices=("f32", "f16", "q8_0", "q4_0")
    )
    gpu_layers: int = declare(
        -1,
        "Layers to offload to the GPU; -1 lets the engine fit as many as it can.",
        group="Models",
        bounds=(-1, 10_000),
        unit="layers",
    )

    hf_endpoint: str = declare(
        "https://huggingface.co",
        "Hub, or a mirror of it, that 'stackctl models pull' downloads from.",
        group="Model hub",
        pattern=_HTTP_URL,
        expected="an address such as https://hub.example, without a user name",
    )
    hf_token: str = declare(
        "", "Access token for gated or private models; sent to HF_ENDPOINT only.", group="Model hub", secret=True
    )
    hf_hub_offline: bool = declare(
        False, "Never reach out for models: 'stackctl models pull' refuses at once.", group="Model hub"
    )

    inference_engine: str = declare(
        "auto",
        "Engine that serves the models.",
        group="Inference",
        choices=("auto", "llama.cpp", "xllamacpp", "llama-cpp-python"),
    )
    inference_port: int = declare(
        8001,
        "First engine port: chat here, code on the next, embeddings on the one after.",
        group="Inference",
        bounds=(1, 65_000),
        unit="port",
    )
    inference_threads: int = declare(
        0,
        "CPU threads of each engine; 0 is one for each core, as far as processes here may use them.",
        group="Inference",
        bounds=(0, 1024),
        unit="threads",
    )
    inference_image: str = declare(
        "", "Image that replaces the engine's own; empty takes the pinned official one.", group="Inference"
    )
    vllm_image: str = declare(
        "docker.io/vllm/vllm-openai:v0.32.0",
        "Image of vLLM, for models with engine: vllm in stack.yml.",
        group="Inference",
    )
    vllm_program: str = declare(
        "",
        "Program of vLLM in the process runtime, for models with engine: vllm; empty takes the one on PATH.",
        group="Inference",
    )
    inference_environment: str = declare(
        "",
        "Variables for every engine beside ours, as NAME=value NAME=value; stack.yml has them for one model.",
        group="Inference",
        private=True,
    )
    prompt_cache: str = declare(
        "auto",
        "Host memory in which each engine keeps past prompts; auto decides by slots, context and memory, 0 is none.",
        group="Inference",
        pattern=_MEMORY,
        expected=_MEMORY_TEXT,
    )
    inference_memlock: str = declare(
        "",
        "Memory that an engine container may lock (ulimits.memlock), for --mlock; empty leaves Docker's default.",
        group="Inference",
        pattern=r"unlimited|[1-9][0-9]*[kmg]",
        expected="unlimited or a size such as 24g",
    )
    inference_shm_size: str = declare(
        "",
        "Shared memory of an engine container (shm_size), which several GPUs talk through; empty leaves Docker's 64m.",
        group="Inference",
        pattern=r"[1-9][0-9]*[kmg]",
        expected="a size such as 1g",
    )
    inference_memory_limit: str = declare(
        "auto",
        "Memory limit of each engine container; auto computes it from the model, 0 sets none.",
        group="Inference",
        pattern=_MEMORY,
        expected=_MEMORY_TEXT,
    )
