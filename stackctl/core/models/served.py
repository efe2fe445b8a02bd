"""Which models the stack serves itself: served name, file, port and one context figure for each. Pure.

In: what was asked for, and what the files' headers say. Out: ``ServedModel`` values (what will run).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from stackctl.core.engine.engines import round_context
from stackctl.core.engine.vllm import GPU_MEMORY_SHARE, VLLM
from stackctl.core.models.gguf import GGUFHeader
from stackctl.core.models.prompt_cache import (
    choose_prompt_cache,
    count_entry_bytes,
    count_free_bytes,
    share_free_bytes,
)
from stackctl.core.models.requests import ModelRequest
from stackctl.core.settings.names.local_chat import ENGINE_CHAT
from stackctl.core.settings.settings import Settings
from stackctl.core.settings.stackfile import Mode

MAX_DEFAULT_CONTEXT = 8192
# What is said of a model whose template has no place for tools: the engine answers as if none had been sent.
NO_TOOLS = "this model cannot call tools"
# Arguments after which an engine's template is another than its file's.
_TEMPLATE_ARGUMENTS = ("--chat-template", "--chat-template-file", "--no-jinja")


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model that one engine of ours serves.

    Attributes:
        service: name of the model's service, unique: ``inference-chat``.
        shards: absolute paths of all its files, at least one; the engine is given the first.
        context_length: tokens of each slot: the one figure that engine, gateway and clients are told.
        slots: number of requests that the engine answers at the same time.
        size_bytes: size of all shards together.
        environment: variables of the model's engine beside ours; ``${NAME}`` refers to `.env`.
        prompt_cache_mib: MiB of host memory in which the engine may keep past prompts.
        engine: engine of this model alone, ``vllm``; empty where the stack's serves it.
        gpu_memory_share: share of each GPU's memory that vLLM takes.
        tool_call_parser: vLLM's name of the parser of the model's tool calls; empty for none.
    """

    served_name: str
    service: str
    setting: str
    mode: Mode
    shards: tuple[str, ...]
    port: int
    context_length: int
    slots: int
    gpu_layers: int | None
    arguments: tuple[str, ...]
    header: GGUFHeader
    size_bytes: int
    is_demo: bool
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    prompt_cache_mib: int = 0
    engine: str = ""
    gpu_memory_share: float = GPU_MEMORY_SHARE
    tool_call_parser: str = ""

    @property
    def is_vllm(self) -> bool:
        """Whether vLLM serves the model, which is then a folder and no file."""
        return self.engine == VLLM.name

    @property
    def takes_tools(self) -> bool | None:
        """Whether the model's template takes tools; None where the engine was given another template."""
        return None if self.has_argument(_TEMPLATE_ARGUMENTS) else self.header.has_tools

    def has_argument(self, names: Sequence[str]) -> bool:
        """Whether its engine is given one of these arguments."""
        return any(argument.partition("=")[0] in names for argument in self.arguments)

    @property
    def path(self) -> str:
        """The file that the engine is given, or the folder."""
        return str(PurePosixPath(self.shards[0]).parent) if self.is_vllm else self.shards[0]

    @property
    def url_variable(self) -> str:
        """Variable in which the gateway finds this engine's base URL."""
        return f"{self.service.upper().replace('-', '_')}_URL"


@dataclass(frozen=True, slots=True)
class _SizedModel:
    """A request with what the model's files and the engine make of it.

    Attributes:
        size_bytes: size of all shards together.
        context_length: tokens of each slot.
        slots: number of slots that were asked for, or the most that the engine has.
    """

    request: ModelRequest
    header: GGUFHeader
    shards: tuple[str, ...]
    size_bytes: int
    context_length: int
    slots: int


def build_served_models(
    settings: Settings,
    requests: tuple[ModelRequest, ...],
    headers: Mapping[str, GGUFHeader],
    shards: Mapping[str, tuple[str, ...]],
    sizes: Mapping[str, int],
    max_slots: int | None,
    memory_bytes: int = 0,
) -> tuple[ServedModel, ...]:
    """Join each request with what its file says.

    Args:
        headers, shards, sizes: what each request's files are, by the request's path; sizes in bytes over all shards.
        max_slots: most slots of the engine, None where it sets no limit.
        memory_bytes: memory of the machine, 0 where it is not known.
    """
    sized = [
        _SizedModel(
            request,
            headers[request.path],
            shards[request.path],
            sizes[request.path],
            choose_context(request.context_length, headers[request.path]),
            request.slots if max_slots is None or request.is_vllm else min(request.slots, max_slots),
        )
        for request in requests
    ]
    free_bytes = _share_memory(sized, memory_bytes, settings.kv_cache_type)
    services = _name_services(tuple(request.served_name for request in requests))
    return tuple(
        _build_served_model(settings, service, model, free_bytes)
        for service, model in zip(services, sized, strict=True)
    )


def _build_served_model(settings: Settings, service: str, model: _SizedModel, free_bytes: int) -> ServedModel:
    request = model.request
    return ServedModel(
        served_name=request.served_name,
        service=service,
        setting=request.setting,
        mode=request.mode,
        shards=model.shards,
        port=settings.inference_port + request.offset,
        context_length=model.context_length,
        slots=model.slots,
        gpu_layers=request.gpu_layers,
        arguments=request.arguments,
        header=_limit_tools(model),
        size_bytes=model.size_bytes,
        is_demo=request.is_demo,
        environment=request.environment,
        prompt_cache_mib=_size_prompt_cache(model, free_bytes, settings.kv_cache_type),
        engine=request.engine,
        gpu_memory_share=request.gpu_memory_share,
        tool_call_parser=request.tool_call_parser,
    )


def _limit_tools(model: _SizedModel) -> GGUFHeader:
    """The model's facts; vLLM refuses tools, whatever the template takes, unless it knows how to read the calls."""
    if model.request.is_vllm and not model.request.tool_call_parser:
        return replace(model.header, has_tools=False)
    return model.header


def _share_memory(models: Sequence[_SizedModel], memory_bytes: int, kv_cache_type: str) -> int:
    """Bytes of memory beside the models from which each chat model's prompt cache is chosen."""
    loads = [(model.header, model.context_length, model.request.slots) for model in models]
    chats = [model for model in models if model.request.mode == "chat" and not model.request.is_vllm]
    wanted = [(model.request.prompt_cache, model.slots) for model in chats]
    return share_free_bytes(count_free_bytes(memory_bytes, loads, kv_cache_type), wanted)


def _size_prompt_cache(model: _SizedModel, free_bytes: int, kv_cache_type: str) -> int:
    """MiB of one model's prompt cache; 0 for a model that is not for chat, which never comes back to a prompt.

    vLLM keeps past prompts in the KV cache that it has.
    """
    if model.request.mode != "chat" or model.request.is_vllm:
        return 0
    entry_bytes = count_entry_bytes(model.header, model.context_length, kv_cache_type)
    return choose_prompt_cache(model.request.prompt_cache, entry_bytes, model.slots, free_bytes)


def choose_context(wanted: int, header: GGUFHeader) -> int:
    """Tokens per slot as the engine will report them: what was asked for, or the model's own up to 8192.

    The machine's memory has no say here, only in the prompt cache beside it: what a model promises is the same
    everywhere. Whether it fits is ``doctor``'s to tell, with the largest context that does.
    """
    trained = header.context_length or max(wanted, MAX_DEFAULT_CONTEXT)
    return round_context(wanted or min(trained, MAX_DEFAULT_CONTEXT), trained)


def _name_services(served_names: tuple[str, ...]) -> tuple[str, ...]:
    """Service names from served names: ``local-chat`` is ``inference-chat``; unique and DNS-safe."""
    names: list[str] = []
    for served_name in served_names:
        stem = "".join(c if c.isalnum() and c.isascii() else "-" for c in served_name.lower())
        stem = "chat" if stem == ENGINE_CHAT else stem  # the same engine, whatever local-chat means
        stem = stem.removeprefix("local-").strip("-")[:40].rstrip("-") or "model"
        name, number = f"inference-{stem}", 2
        while name in names:
            name, number = f"inference-{stem}-{number}", number + 1
        names.append(name)
    return tuple(names)
