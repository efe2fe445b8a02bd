"""What ``local-chat`` means under ENVIRONMENT: which providers' models it goes to, in which order. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from stackctl.core.settings.stackfile import Provider, Route, StackFile
from stackctl.errors import Finding

LOCAL_CHAT = "local-chat"
# Of this stack's own engine, where ENVIRONMENT gives local-chat to a provider.
ENGINE_CHAT = "engine-chat"
# Kinds of the providers that local-chat goes to: the first must be there, the others are tried when it fails.
_KINDS: Mapping[str, tuple[str, ...]] = {"production": ("internal", "ollama"), "development": ("ollama",)}
_WHAT = {"internal": "the company's internal API", "ollama": "Ollama"}
_ADDRESSES = {"internal": "INTERNAL_LLM_BASE_URL", "ollama": "OLLAMA_BASE_URL"}


def find_targets(environment: str, made: Mapping[str, Provider], stackfile: StackFile) -> tuple[str, ...]:
    """Served names of the models that local-chat goes to, in order; none where the first provider is missing.

    Args:
        environment: ``production`` or ``development``.
        made: providers that the names of `.env` make, which come before those of `stack.yml`.
    """
    found = [_find_model(kind, made, stackfile) for kind in _KINDS[environment]]
    return tuple(name for name in found if name) if found[0] else ()


def _find_model(kind: str, made: Mapping[str, Provider], stackfile: StackFile) -> str:
    """The first model for chat of a provider of this kind; empty where there is none."""
    providers = [made[kind]] if kind in made else [item for item in stackfile.providers.values() if item.kind == kind]
    models = (served for provider in providers for served in provider.models.items())
    return next((name for name, model in models if model.mode == "chat"), "")


def check_environment(
    environment: str, made: Mapping[str, Provider], targets: tuple[str, ...], stackfile: StackFile
) -> Iterator[Finding]:
    """Check that there is what local-chat is to go to, and that the engine's other name is free.

    A provider that was made without a model is told by the check of providers.
    """
    kind = _KINDS[environment][0]
    address = _ADDRESSES[kind]
    if not targets and kind not in made:
        message = f"is {environment}, which makes local-chat {_WHAT[kind]}, and {address} is not set"
        hint = f"add {address}=... to .env, or leave ENVIRONMENT out: local-chat is this stack's own engine then"
        yield Finding("ENVIRONMENT", message, hint, file=".env")
    if ENGINE_CHAT in stackfile.models:
        message = f"makes {ENGINE_CHAT} the name of the engine that serves CHAT_MODEL, and stack.yml has a model of it"
        yield Finding("ENVIRONMENT", message, f"rename models.{ENGINE_CHAT} in stack.yml", file=".env")


def route_local_chat(stackfile: StackFile, targets: tuple[str, ...]) -> StackFile:
    """Serve local-chat from the first target's provider, and the others when it fails.

    Fallbacks that `stack.yml` names for local-chat come after them.
    """
    first, *others = targets
    providers = dict(stackfile.providers)
    if first != LOCAL_CHAT:
        owner = next(name for name, provider in providers.items() if first in provider.models)
        models = {LOCAL_CHAT: providers[owner].models[first], **providers[owner].models}
        providers[owner] = replace(providers[owner], models=models)
    own = stackfile.routes.get(LOCAL_CHAT)
    fallbacks = tuple(dict.fromkeys((*others, *((own.fallbacks or ()) if own else ()))))
    if not fallbacks:
        return replace(stackfile, providers=providers)
    route = replace(own, fallbacks=fallbacks) if own else Route(fallbacks=fallbacks)
    return replace(stackfile, providers=providers, routes={**stackfile.routes, LOCAL_CHAT: route})
