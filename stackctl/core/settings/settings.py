"""Settings of this machine: one class that is the home of each setting's default, type, bounds, unit and help.

Pure. `.env.example`, the reference page and ``stackctl config`` are made from this class; sources.py resolves its
values.
"""

from __future__ import annotations

from dataclasses import Field, dataclass, field, fields
from typing import Any

from stackctl.core.text.printable import hide_user


def _setting(
    default: Any,
    help_text: str,
    *,
    group: str,
    choices: tuple[str, ...] = (),
    bounds: tuple[float, float] | None = None,
    unit: str = "",
    pattern: str = "",
    expected: str = "",
    secret: bool = False,
    generated: bool = False,
    private: bool = False,
    several: bool = False,
    app: str = "",
) -> Any:
    """A dataclass field that carries all that is known about one setting.

    Args:
        several: whether it takes any number of its choices, separated by commas.
        app: name of the app that it is for; without that app nobody needs it.
    """
    metadata = {
        "help": help_text,
        "group": group,
        "choices": choices,
        "bounds": bounds,
        "unit": unit,
        "pattern": pattern,
        "expected": expected,
        "secret": secret,
        "generated": generated,
        "several": several,
        "app": app,
    }
    # What may be secret must not stand in a representation: those end up in tracebacks and logs.
    return field(default=default, metadata=metadata, repr=not (secret or private))


_NAME = r"[a-z0-9][a-z0-9_-]{0,62}"
_MEMORY = r"auto|0|[1-9][0-9]*[kmg]"
_MEMORY_TEXT = "auto, 0 or a size such as 24g"
_GROUPS = r"[A-Za-z0-9_-]+(,[A-Za-z0-9_-]+)*"
_USER = r"[1-9][0-9]*:[1-9][0-9]*"
_HTTP_URL = r"https?://[^\s/@?#]+(/[^\s@?#]*)?"
_FORMAT = "(chat|completions|embeddings|rerank|messages|responses)"
_FORMATS = f"{_FORMAT}(,{_FORMAT})*"
_ORIGIN = r"https?://[A-Za-z0-9.:\[\]-]+"
_ORIGINS = rf"\*|{_ORIGIN}(,{_ORIGIN})*"
_REDIS_URL = r"rediss?://([^\s:/@?#]+@)?([^\s:/@?#\[\]]+|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?(/[0-9]{0,4})?"
_DEVICES = r"all|[A-Za-z0-9:._-]+(,[A-Za-z0-9:._-]+)*"


@dataclass(frozen=True, slots=True)
class Settings:
    """Resolved settings; a field's name in upper case is the setting's name in `.env`."""

    stack_name: str = _setting(
        "ai-stack",
        "Name of the Compose project and of the stack on this machine.",
        group="Stack",
        pattern=_NAME,
        expected="lower-case letters, digits, '-' and '_'",
    )
    stack_profile: str = _setting("p1", "Which set of services to run.", group="Stack", choices=("p1",))
    stack_apps: str = _setting(
        "",
        "Services beside the gateway and the engines, separated by commas; empty runs none.",
        group="Stack",
        choices=(
            "redis",
            "postgres",
            "observability",
        ),
        several=True,
    )
    stack_runtime: str = _setting(
        "auto",
        "How services run: containers, or supervised processes where there is no Docker engine.",
        group="Stack",
        choices=("auto", "compose", "process"),
    )
    stack_gpu: str = _setting(
        "auto", "Which GPU the engine uses.", group="Stack", choices=("auto", "none", "nvidia", "amd", "vulkan")
    )
    stack_build_engine: str = _setting(
        "ask",
        "Build an engine for a GPU that the process runtime's own leaves alone: 'ask' does so on a terminal.",
        group="Stack",
        choices=("ask", "always", "never"),
    )
    gpu_devices: str = _setting(
        "all",
        "GPU indices or UUIDs to use, separated by commas.",
        group="Stack",
        pattern=_DEVICES,
        expected="'all' or a list such as 0,1",
    )
    gpu_access: str = _setting(
        "auto",
        "How containers reach an NVIDIA GPU: the container toolkit's runtime, or CDI devices, which outlive"
        " 'systemctl daemon-reload'; auto takes CDI where the engine has nothing else.",
        group="Stack",
        choices=("auto", "toolkit", "cdi"),
    )
    gpu_groups: str = _setting(
        "video,render",
        "Groups that own the AMD or Vulkan device files; numbers where the image lacks the names.",
        group="Stack",
        pattern=_GROUPS,
        expected="a list such as 44,992",
    )

    log_max_size: str = _setting(
        "20m",
        "Size at which a service's log file is put aside and a new one begun.",
        group="Stack",
        pattern=r"[1-9][0-9]*[kmg]",
        expected="a size such as 20m",
    )
    log_max_files: int = _setting(
        25,
        "Log files kept of each service; a container's are compressed, and 12 times as many are kept on a GPU.",
        group="Stack",
        bounds=(2, 1000),
        unit="files",
    )

    chat_model: str = _setting(
        "", "GGUF file in MODELS_DIR served as local-chat; empty serves the demo model.", group="Models"
    )
    code_model: str = _setting("", "GGUF file served as local-code; empty serves none.", group="Models")
    embedding_model: str = _setting(
        "", "GGUF file served as local-embed; empty serves the demo model, 'none' serves none.", group="Models"
    )
    models_dir: str = _setting("models", "Folder of GGUF files, relative to the site or absolute.", group="Models")
    context_length: int = _setting(
        0,
        "Context of each slot; 0 takes the model's own, up to 8192.",
        group="Models",
        bounds=(0, 16_777_216),
        unit="tokens",
    )
    inference_slots: int = _setting(
        4, "Requests that one engine answers at the same time.", group="Models", bounds=(1, 256), unit="slots"
    )
    kv_cache_type: str = _setting(
        "f16", "Element type of the KV cache.", group="Models", choices=("f32", "f16", "q8_0", "q4_0")
    )
    gpu_layers: int = _setting(
        -1,
        "Layers to offload to the GPU; -1 lets the engine fit as many as it can.",
        group="Models",
        bounds=(-1, 10_000),
        unit="layers",
    )

    hf_endpoint: str = _setting(
        "https://huggingface.co",
        "Hub, or a mirror of it, that 'stackctl models pull' downloads from.",
        group="Model hub",
        pattern=_HTTP_URL,
        expected="an address such as https://hub.example, without a user name",
    )
    hf_token: str = _setting(
        "", "Access token for gated or private models; sent to HF_ENDPOINT only.", group="Model hub", secret=True
    )
    hf_hub_offline: bool = _setting(
        False, "Never reach out for models: 'stackctl models pull' refuses at once.", group="Model hub"
    )

    inference_engine: str = _setting(
        "auto",
        "Engine that serves the models.",
        group="Inference",
        choices=("auto", "llama.cpp", "xllamacpp", "llama-cpp-python"),
    )
    inference_port: int = _setting(
        8001,
        "First engine port: chat here, code on the next, embeddings on the one after.",
        group="Inference",
        bounds=(1, 65_000),
        unit="port",
    )
    inference_threads: int = _setting(
        0, "CPU threads of each engine; 0 lets the engine choose.", group="Inference", bounds=(0, 1024), unit="threads"
    )
    inference_image: str = _setting(
        "", "Image that replaces the engine's own; empty takes the pinned official one.", group="Inference"
    )
    vllm_image: str = _setting(
        "docker.io/vllm/vllm-openai:v0.32.0",
        "Image of vLLM, for models with engine: vllm in stack.yml.",
        group="Inference",
    )
    vllm_program: str = _setting(
        "",
        "Program of vLLM in the process runtime, for models with engine: vllm; empty takes the one on PATH.",
        group="Inference",
    )
    inference_environment: str = _setting(
        "",
        "Variables for every engine beside ours, as NAME=value NAME=value; stack.yml has them for one model.",
        group="Inference",
        private=True,
    )
    prompt_cache: str = _setting(
        "auto",
        "Host memory in which each engine keeps past prompts; auto decides by slots, context and memory, 0 is none.",
        group="Inference",
        pattern=_MEMORY,
        expected=_MEMORY_TEXT,
    )
    inference_memlock: str = _setting(
        "",
        "Memory that an engine container may lock (ulimits.memlock), for --mlock; empty leaves Docker's default.",
        group="Inference",
        pattern=r"unlimited|[1-9][0-9]*[kmg]",
        expected="unlimited or a size such as 24g",
    )
    inference_shm_size: str = _setting(
        "",
        "Shared memory of an engine container (shm_size), which several GPUs talk through; empty leaves Docker's 64m.",
        group="Inference",
        pattern=r"[1-9][0-9]*[kmg]",
        expected="a size such as 1g",
    )
    inference_memory_limit: str = _setting(
        "auto",
        "Memory limit of each engine container; auto computes it from the model, 0 sets none.",
        group="Inference",
        pattern=_MEMORY,
        expected=_MEMORY_TEXT,
    )

    api_gateway_port: int = _setting(
        8000, "Port that editors and SDKs point at.", group="Gateway", bounds=(1, 65_535), unit="port"
    )
    bind_address: str = _setting(
        "127.0.0.1",
        "Address the gateway listens on; the process runtime takes loopback only.",
        group="Gateway",
        pattern=r"[0-9a-fA-F:.]+",
        expected="an IP address",
    )
    gateway_workers: int = _setting(
        1,
        "Gateway processes; more answer more requests at once and take about 45 MB each.",
        group="Gateway",
        bounds=(1, 64),
        unit="processes",
    )
    gateway_image: str = _setting("", "Image that replaces the one built from services/api-gateway.", group="Gateway")
    gateway_memory_limit: str = _setting(
        "auto",
        "Memory limit of the gateway container; auto computes it from the workers, 0 sets none.",
        group="Gateway",
        pattern=_MEMORY,
        expected=_MEMORY_TEXT,
    )
    gateway_request_timeout_s: int = _setting(
        600, "Longest time one request may take.", group="Gateway", bounds=(1, 86_400), unit="seconds"
    )
    gateway_formats: str = _setting(
        "chat,completions,embeddings,rerank,messages,responses",
        "Formats that clients are served in; what is left out is answered with 404.",
        group="Gateway",
        pattern=_FORMATS,
        expected="a list of chat, completions, embeddings, rerank, messages and responses",
    )
    gateway_embeddings: bool = _setting(
        True, "Answer requests for embeddings; false refuses them in words.", group="Gateway"
    )
    gateway_queue_length: int = _setting(
        4096,
        "Requests that may wait for a slot of an engine; one more is refused with 503.",
        group="Gateway",
        bounds=(0, 1_000_000),
        unit="requests",
    )
    gateway_queue_wait_s: int = _setting(
        600,
        "Longest time that a request waits for a slot of an engine.",
        group="Gateway",
        bounds=(1, 86_400),
        unit="seconds",
    )
    gateway_cors_origins: str = _setting(
        "",
        "Origins whose web pages may ask the gateway, separated by commas; empty allows none.",
        group="Gateway",
        pattern=_ORIGINS,
        expected="a list such as https://chat.example,http://localhost:3000",
    )
    gateway_log_level: str = _setting(
        "info",
        "How much the gateway logs: a line for each request, or with debug one for each try of it too.",
        group="Gateway",
        choices=("info", "debug"),
    )
    gateway_ca_bundle: str = _setting(
        "",
        "PEM file of the company's certificate authority, which providers are trusted by beside the system's own.",
        group="Gateway",
    )
    gateway_state_required: bool = _setting(
        False,
        "Refuse to start when the gateway's database of keys and usage cannot be used; otherwise a damaged one is set"
        " aside, and GATEWAY_KEY alone opens the gateway.",
        group="Gateway",
    )
    gateway_database_url: str = _setting(
        "",
        "Address of a PostgreSQL database in which several gateways share keys and usage, as"
        " postgresql://USER:PASSWORD@HOST:5432/DATABASE; empty keeps them in a file of the site, or in the app"
        " postgres.",
        group="Gateway",
        secret=True,
        pattern=r"postgres(ql)?://[^\s/]+/\S*",
        expected="an address that begins with postgresql://",
    )
    gateway_usage_days: int = _setting(
        400,
        "Days after which the gateway removes its records of usage, which hold no text; 0 keeps them for ever.",
        group="Gateway",
        bounds=(0, 36_500),
        unit="days",
    )
    gateway_redis_url: str = _setting(
        "",
        "Redis in which several gateways count limits together, without a password; empty counts in each alone, or in"
        " the app redis where STACK_APPS names it.",
        group="Gateway",
        pattern=_REDIS_URL,
        expected="an address such as rediss://redis.example:6379/0, whose password is GATEWAY_REDIS_PASSWORD",
    )
    gateway_redis_password: str = _setting("", "Password of GATEWAY_REDIS_URL.", group="Gateway", secret=True)
    gateway_redis_away: str = _setting(
        "local",
        "While Redis does not answer: count limits in each gateway alone, or refuse what has limits with 503.",
        group="Gateway",
        choices=("local", "refuse"),
    )
    gateway_log_prompts: bool = _setting(
        False,
        "Write prompts and answers of all routes, masked, to content.jsonl in the gateway's state, for one hour after"
        " each start of the gateway; 'stackctl content-log' does it for single routes.",
        group="Gateway",
    )

    gateway_admin_key: str = _setting(
        "", "Key for administration (/metrics).", group="Keys", secret=True, generated=True
    )
    gateway_key: str = _setting("", "Key that clients send.", group="Keys", secret=True, generated=True)
    gateway_cache_key: str = _setting(
        "",
        "Key that the gateway encrypts kept answers with (AES-256-GCM), such as 'openssl rand -hex 32' makes; empty"
        " leaves them as they are.",
        group="Keys",
        secret=True,
        pattern=r"[!-~]{32,}",
        expected="at least 32 ASCII characters without spaces",
    )
    inference_api_key: str = _setting(
        "", "Key between the gateway and the engines.", group="Keys", secret=True, generated=True
    )

    redis_password: str = _setting(
        "",
        "Password of the app redis, generated where STACK_APPS names it.",
        group="Apps",
        secret=True,
        generated=True,
        pattern=r"[A-Za-z0-9_.~-]+",
        expected="letters, digits, '_', '.', '~' and '-'",
        app="redis",
    )
    redis_port: int = _setting(
        16379, "Port of the app redis, on loopback only.", group="Apps", bounds=(1, 65_535), unit="port", app="redis"
    )
    redis_image: str = _setting(
        "docker.io/library/redis:7.2-bookworm", "Image of the app redis.", group="Apps", app="redis"
    )

    postgres_password: str = _setting(
        "",
        "Password of the app postgres, generated where STACK_APPS names it.",
        group="Apps",
        secret=True,
        generated=True,
        pattern=r"[A-Za-z0-9_.~-]+",
        expected="letters, digits, '_', '.', '~' and '-'",
        app="postgres",
    )
    postgres_port: int = _setting(
        15432,
        "Port of the app postgres, on loopback only.",
        group="Apps",
        bounds=(1, 65_535),
        unit="port",
        app="postgres",
    )
    postgres_image: str = _setting(
        "docker.io/library/postgres:15-bookworm", "Image of the app postgres.", group="Apps", app="postgres"
    )

    prometheus_port: int = _setting(
        19090,
        "Port of Prometheus, on loopback only.",
        group="Apps",
        bounds=(1, 65_535),
        unit="port",
        app="observability",
    )
    prometheus_days: int = _setting(
        30, "How long Prometheus keeps what it saw.", group="Apps", bounds=(1, 3650), unit="days", app="observability"
    )
    prometheus_image: str = _setting(
        "docker.io/prom/prometheus:v2.55.1", "Image of Prometheus.", group="Apps", app="observability"
    )
    gpu_metrics_port: int = _setting(
        19091,
        "Port at which Prometheus learns of the GPUs, on loopback only.",
        group="Apps",
        bounds=(1, 65_535),
        unit="port",
        app="observability",
    )
    alert_first_token_s: int = _setting(
        10,
        "Alert when 5 of 100 answers of a model begin later than this.",
        group="Apps",
        bounds=(1, 600),
        unit="seconds",
        app="observability",
    )
    grafana_password: str = _setting(
        "",
        "Password of Grafana's user admin, generated where STACK_APPS names observability.",
        group="Apps",
        secret=True,
        generated=True,
        app="observability",
    )
    grafana_port: int = _setting(
        13000,
        "Port of Grafana, on loopback only.",
        group="Apps",
        bounds=(1, 65_535),
        unit="port",
        app="observability",
    )
    grafana_image: str = _setting(
        "docker.io/grafana/grafana:11.3.0", "Image of Grafana.", group="Apps", app="observability"
    )

    bundle_public_key: str = _setting(
        "", "Public key that bundles must be signed with: its file, or its line.", group="Bundles"
    )

    base_image: str = _setting(
        "docker.io/library/python:3.11.14-slim-bookworm", "Python image that our Dockerfiles build on.", group="Build"
    )
    build_base_image: str = _setting(
        "docker.io/library/python:3.11.14-bookworm",
        "Image with a C++ compiler in which llama-cpp-python is built.",
        group="Build",
    )
    build_ca_bundle: str = _setting(
        "", "PEM file of the company's certificate authority, given to builds as a secret.", group="Build"
    )
    pip_index_url: str = _setting(
        "",
        "Package index mirror for image builds and environments; empty takes pip's own.",
        group="Build",
        private=True,
    )
    selinux_relabel: bool = _setting(
        False,
        "Give model files the SELinux label that containers may read (bind.selinux: z); for hosts that enforce it.",
        group="Build",
    )
    container_user: str = _setting(
        "10001:10001",
        "User and group that containers run as; never root.",
        group="Build",
        pattern=_USER,
        expected="UID:GID, neither of them 0",
    )


def list_settings() -> tuple[Field[Any], ...]:
    """Every setting as its dataclass field, in the order of the class."""
    return fields(Settings)


def setting_names() -> tuple[str, ...]:
    """Every setting's name as it stands in `.env`."""
    return tuple(item.name.upper() for item in fields(Settings))


def is_generated(item: Field[Any], apps: str) -> bool:
    """Whether a site needs a value of this setting that we make for it.

    Args:
        apps: value of STACK_APPS.
    """
    app = item.metadata["app"]
    return bool(item.metadata["generated"]) and (not app or app in split_names(apps))


def split_names(text: str) -> list[str]:
    """Names that are separated by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def default_value(name: str) -> Any:
    """The default of the setting of this name."""
    return next(item.default for item in fields(Settings) if item.name.upper() == name)


def list_secrets() -> frozenset[str]:
    """Names of the settings that must never be printed."""
    return frozenset(item.name.upper() for item in fields(Settings) if item.metadata["secret"])


def mask_value(item: Field[Any], value: Any) -> str:
    """The value as text, a secret as its length only."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"(secret, {len(text)} characters)" if item.metadata["secret"] and text else hide_user(text)
