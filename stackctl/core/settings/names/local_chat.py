"""What ``local-chat`` means under ENVIRONMENT, and how requests for it are treated under LLM_*. Pure.

In: `stack.yml` and what the names say. Out: `stack.yml` with another route for local-chat, and findings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from stackctl.core.settings.names.values import NamedValues
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
    """Check that there is what local-chat is to go to, and that nothing else is called so, or as the engine then is.

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
    route = stackfile.routes.get(LOCAL_CHAT)
    if route and route.targets:
        message = f"decides what {LOCAL_CHAT} means, and routes.{LOCAL_CHAT}.targets in stack.yml does, too"
        yield Finding("ENVIRONMENT", message, "remove one of the two", file=".env")
    for name, provider in stackfile.providers.items():
        if LOCAL_CHAT in provider.models and targets and LOCAL_CHAT not in targets:
            message = f"makes {LOCAL_CHAT} something else than the model of that name in stack.yml"
            yield Finding("ENVIRONMENT", message, f"rename providers.{name}.models.{LOCAL_CHAT}", file=".env")


def route_local_chat(stackfile: StackFile, targets: tuple[str, ...]) -> StackFile:
    """Have local-chat stand for these models, in order; what `stack.yml` falls back to comes after them.

    Limits of local-chat are limits of this stack's own engine, and go with it to its other name.
    """
    own = stackfile.routes.get(LOCAL_CHAT, Route())
    fallbacks = tuple(name for name in own.fallbacks or () if name not in targets)
    routes = {**stackfile.routes, LOCAL_CHAT: replace(own, targets=targets, fallbacks=fallbacks or None)}
    limits = stackfile.limits
    if LOCAL_CHAT not in targets:
        named = {ENGINE_CHAT if name == LOCAL_CHAT else name: item for name, item in limits.models.items()}
        limits = replace(limits, models=named)
    return replace(stackfile, routes=routes, limits=limits)


def set_requests(stackfile: StackFile, names: NamedValues) -> StackFile:
    """Have requests for local-chat wait, be tried again and be completed as LLM_TIMEOUT and its like say."""
    values = names.values
    own = stackfile.routes.get(LOCAL_CHAT, Route())
    route = own
    if "LLM_TIMEOUT" in names.given:
        route = replace(route, deadline=float(values.llm_timeout))
    if "LLM_MAX_RETRIES" in names.given:
        route = replace(route, retries=values.llm_max_retries)
    if "LLM_TEMPERATURE" in names.given:
        route = replace(route, defaults=replace(own.defaults, temperature=float(values.llm_temperature)))
    return stackfile if route == own else replace(stackfile, routes={**stackfile.routes, LOCAL_CHAT: route})
