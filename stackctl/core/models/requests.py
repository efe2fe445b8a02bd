"""Which models the stack is asked to serve itself: by the settings that name one, and by `stack.yml`. Pure.

In: settings and `stack.yml`. Out: ``ModelRequest`` values; served.py makes of them what will run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from stackctl.core.engine.vllm import GPU_MEMORY_SHARE, VLLM
from stackctl.core.models.gguf import GGUFHeader
from stackctl.core.models.prompt_cache import AUTO
from stackctl.core.settings.engine_environment import SHARED, check_environment, parse_environment
from stackctl.core.settings.settings import Settings, list_secrets
from stackctl.core.settings.stackfile import LocalModel, Mode, StackFile
from stackctl.errors import Finding, Severity, raise_config_error

DEMO_MODEL_FILE = "demo.gguf"
NO_MODEL = "none"


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """A model as the operator asked for it, before its file was looked at.

    Attributes:
        setting: where the model was asked for: a setting's name or a path in `stack.yml`.
        path: absolute path of the GGUF file, of a split model its first shard; for vLLM, of the folder.
        offset: number that is added to ``INFERENCE_PORT`` for the model's port.
        context_length: tokens of each slot, 0 to take the model's own.
        environment: variables of the model's engine beside ours; ``${NAME}`` refers to `.env`.
        prompt_cache: wanted size as text, or ``auto``.
        engine: engine of this model alone, ``vllm``; empty where the stack's serves it.
        gpu_memory_share: share of each GPU's memory that vLLM takes.
        tool_call_parser: vLLM's name of the parser of the model's tool calls; empty for none.
    """

    served_name: str
    setting: str
    path: str
    mode: Mode
    offset: int
    context_length: int
    slots: int
    gpu_layers: int | None
    arguments: tuple[str, ...] = ()
    is_demo: bool = False
    context_setting: str = "CONTEXT_LENGTH"
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    prompt_cache: str = AUTO
    engine: str = ""
    gpu_memory_share: float = GPU_MEMORY_SHARE
    tool_call_parser: str = ""

    @property
    def is_vllm(self) -> bool:
        """Whether vLLM is to serve the model; then ``path`` is a folder."""
        return self.engine == VLLM.name


@dataclass(frozen=True, slots=True)
class _NamedModel:
    """A model that `.env` names.

    Attributes:
        setting: name of the setting that holds the file's name.
        offset: number that is added to ``INFERENCE_PORT``; fixed, so that configuring a code model does not move the
            embedding model to another port.
    """

    served_name: str
    setting: str
    mode: Mode
    offset: int

    def read_file_name(self, settings: Settings) -> str:
        """What `.env` says: a file's name, ``none``, or nothing."""
        return str(getattr(settings, self.setting.lower()))


_CHAT = _NamedModel("local-chat", "CHAT_MODEL", "chat", 0)
_CODE = _NamedModel("local-code", "CODE_MODEL", "chat", 1)
_EMBEDDING = _NamedModel("local-embed", "EMBEDDING_MODEL", "embedding", 2)
_NAMED = (_CHAT, _CODE, _EMBEDDING)


def build_requests(settings: Settings, stackfile: StackFile, site: str, demo_model: str) -> tuple[ModelRequest, ...]:
    """List the models to serve.

    Args:
        site: absolute path of the site folder.
        demo_model: absolute path of the demo model, which is served where no other is configured.

    Raises:
        ConfigError: a served name is given both in `.env` and in `stack.yml`, or nothing is served.
    """
    environment = _read_environments(settings, stackfile)
    findings = [finding for named in _NAMED for finding in _check_named(settings, stackfile, named)]
    findings += [finding for name, model in stackfile.models.items() for finding in _check_extra(name, model)]
    raise_config_error("The models cannot be served like this.", findings)
    folder = PurePosixPath(site) / settings.models_dir
    served = [named for named in _NAMED if _is_served(settings, stackfile, named)]
    requests = [_build_named(settings, named, folder, demo_model, environment) for named in served]
    for offset, (served_name, model) in enumerate(stackfile.models.items(), len(_NAMED)):
        requests.append(_build_extra(settings, served_name, model, folder, offset, environment))
    return tuple(requests)


def rename_chat(requests: tuple[ModelRequest, ...], served_name: str) -> tuple[ModelRequest, ...]:
    """The requests with the model for local-chat served under another name, where a provider has that one."""
    return tuple(
        replace(request, served_name=served_name) if request.served_name == _CHAT.served_name else request
        for request in requests
    )


def _check_named(settings: Settings, stackfile: StackFile, named: _NamedModel) -> Iterator[Finding]:
    setting, served_name = named.setting, named.served_name
    name = named.read_file_name(settings)
    if name == NO_MODEL and named is _CHAT:
        message = f"is '{NO_MODEL}', and a stack without a chat model has nothing to prove that it works"
        yield Finding(setting, message, "name a GGUF file in MODELS_DIR, or leave CHAT_MODEL empty")
    if name not in ("", NO_MODEL) and served_name in stackfile.models:
        message = f"'{served_name}' is also served by models.{served_name} in stack.yml"
        yield Finding(setting, message, f"keep one: clear {setting} in .env, or rename the other")


def _is_served(settings: Settings, stackfile: StackFile, named: _NamedModel) -> bool:
    """Whether this model is to be served from what `.env` says, or from the demo model where it says nothing."""
    name = named.read_file_name(settings)
    if name == NO_MODEL or named.served_name in stackfile.models:
        return False
    # No code model is a choice; no chat or embedding model is a new machine, which the demo serves.
    return bool(name) or named is not _CODE


def _build_named(
    settings: Settings, named: _NamedModel, folder: PurePosixPath, demo_model: str, environment: Mapping[str, str]
) -> ModelRequest:
    name = named.read_file_name(settings)
    return ModelRequest(
        served_name=named.served_name,
        setting=named.setting,
        path=str(folder / name) if name else demo_model,
        mode=named.mode,
        offset=named.offset,
        context_length=settings.context_length,
        slots=settings.inference_slots,
        gpu_layers=_read_gpu_layers(settings, None),
        is_demo=not name,
        environment=environment,
        prompt_cache=settings.prompt_cache,
    )


def _read_environments(settings: Settings, stackfile: StackFile) -> dict[str, str]:
    """The variables that every engine is given, once those of each model are checked too.

    Raises:
        ConfigError: a variable would change what a setting decides, or holds a secret.
    """
    shared = parse_environment(settings.inference_environment)
    secrets = list_secrets()
    findings = check_environment(SHARED, shared, secrets)
    for name, model in stackfile.models.items():
        findings += check_environment(f"models.{name}.environment", model.environment, secrets)
    raise_config_error("An engine's environment is not usable.", findings)
    return shared


def _build_extra(
    settings: Settings,
    served_name: str,
    model: LocalModel,
    folder: PurePosixPath,
    offset: int,
    shared: Mapping[str, str],
) -> ModelRequest:
    return ModelRequest(
        served_name=served_name,
        setting=f"models.{served_name}.file",
        path=str(folder / model.file),
        mode=model.mode,
        offset=offset,
        context_length=model.context_length or settings.context_length,
        slots=model.slots or settings.inference_slots,
        gpu_layers=_read_gpu_layers(settings, model.gpu_layers),
        arguments=model.arguments,
        context_setting=f"models.{served_name}.context_length" if model.context_length else "CONTEXT_LENGTH",
        environment={**shared, **model.environment},
        prompt_cache=model.prompt_cache or settings.prompt_cache,
        engine=model.engine or "",
        gpu_memory_share=GPU_MEMORY_SHARE if model.gpu_memory is None else model.gpu_memory,
        tool_call_parser=model.tool_call_parser or "",
    )


def _check_extra(served_name: str, model: LocalModel) -> Iterator[Finding]:
    """Find keys that the model's engine does not read, and a key where it would be seen by everybody."""
    place = f"models.{served_name}"
    if model.engine == VLLM.name:
        foreign = {"gpu_layers": model.gpu_layers is not None, "prompt_cache": model.prompt_cache is not None}
        other = "vLLM does not read it"
        if any(word.split("=", 1)[0] == "--api-key" for word in model.arguments):
            message = "puts a key where every user of the machine sees it; vLLM has INFERENCE_API_KEY already"
            yield Finding(f"{place}.arguments", message, "remove --api-key", file="stack.yml")
    else:
        given = {"gpu_memory": model.gpu_memory is not None, "tool_call_parser": bool(model.tool_call_parser)}
        foreign, other = given, "only vLLM reads it"
    for key in (key for key, is_given in foreign.items() if is_given):
        yield Finding(f"{place}.{key}", f"has no effect: {other}", f"remove {key}", file="stack.yml")


def _read_gpu_layers(settings: Settings, own: int | None) -> int | None:
    """Layers to offload: None lets the engine decide, 0 keeps it on the CPU."""
    if settings.stack_gpu == "none":
        return 0
    wanted = settings.gpu_layers if own is None else own
    return None if wanted < 0 else wanted


def check_contexts(requests: tuple[ModelRequest, ...], headers: Mapping[str, GGUFHeader]) -> list[Finding]:
    """A warning for each context beyond what the model was trained for: the engine cuts it there."""
    return [
        Finding(
            request.context_setting,
            f"{request.served_name} was trained for {headers[request.path].context_length} tokens and is given no more;"
            f" asked for were {request.context_length}",
            f"set {request.context_setting} to {headers[request.path].context_length} or less",
            severity=Severity.WARNING,
        )
        for request in requests
        if 0 < headers[request.path].context_length < request.context_length and not request.is_demo
    ]
