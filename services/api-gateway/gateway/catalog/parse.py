"""Read the catalogue from the text of the rendered configuration. Pure.

In: YAML in LiteLLM's form, with a section ``gateway`` for what LiteLLM does not know, and the environment that its
``os.environ/NAME`` refer to. Out: a ``Catalog``. Without that section a configuration is served too, with defaults.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, get_args

import yaml

from gateway.catalog.values import (
    DEFAULT_CACHE_AGE_S,
    DEFAULT_CACHE_MB,
    DEFAULT_QUEUE_LENGTH,
    DEFAULT_WAIT_S,
    FORMATS,
    Alias,
    CacheRule,
    CacheWhen,
    Catalog,
    ContentRules,
    Limits,
    Provider,
    ProviderKeyRule,
    Route,
    Target,
    Timeouts,
)

_REFERENCE = "os.environ/"
_NO_KEY = "none"
# What LiteLLM's prefixes mean where the configuration does not say it itself.
_KINDS = {
    "hosted_vllm": "vllm",
    "openai": "openai-compatible",
    "ollama_chat": "ollama",
    "llamafile": "openai-compatible",
}
_OWN_ADDRESSES = {"openai": "https://api.openai.com/v1", "anthropic": "https://api.anthropic.com/v1"}
_VERSION_PATH = "/v1"
_SECONDS = {
    "connect": "connect_s",
    "first_token": "first_token_s",
    "between_tokens": "between_tokens_s",
    "whole": "whole_s",
}
# PyYAML's parser in C reads the demo configuration in a tenth of the time.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse_catalog(text: str, environ: Mapping[str, str]) -> Catalog:
    """The catalogue of a configuration.

    Raises:
        ValueError: the text is no such configuration; says what was expected.
    """
    try:
        return _build_catalog(yaml.load(text, Loader=_LOADER), environ)  # noqa: S506, a safe one
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise ValueError("expected a mapping with a model_list of named models") from error


def _build_catalog(document: Mapping[str, Any], environ: Mapping[str, str]) -> Catalog:
    own = document.get("gateway") or {}
    providers = {name: _build_provider(name, entry) for name, entry in (own.get("providers") or {}).items()}
    models = own.get("models") or {}
    targets = {}
    for entry in document["model_list"]:
        target = _build_target(entry, models.get(entry["model_name"]) or {}, providers, environ)
        targets[target.name] = target
    # A route may stand for models without being one.
    names = dict.fromkeys((*targets, *(own.get("routes") or {})))
    routes = {name: _build_route(name, targets, document, own) for name in names}
    queue = own.get("queue") or {}
    return Catalog(
        routes=routes,
        aliases=tuple(_build_alias(entry, routes) for entry in own.get("aliases") or ()),
        formats=frozenset(own.get("formats") or FORMATS),
        embeddings=bool(own.get("embeddings", True)),
        queue_length=int(queue.get("length", DEFAULT_QUEUE_LENGTH)),
        queue_wait_s=float(queue.get("wait_s", DEFAULT_WAIT_S)),
        cors_origins=tuple(own.get("cors_origins") or ()),
        content=_build_content_rules(own.get("content_log") or {}),
        cache_mb=int((own.get("cache") or {}).get("size_mb", DEFAULT_CACHE_MB)),
    )


def _build_content_rules(entry: Mapping[str, Any]) -> ContentRules:
    masks = {str(name): str(pattern) for name, pattern in (entry.get("masks") or {}).items()}
    for name, pattern in masks.items():
        try:
            re.compile(pattern)
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"mask {name!r} of the content log is no regular expression: {error}") from error
    return ContentRules(int(entry.get("keep_days", 7)), int(entry.get("keep_mb", 100)), masks)


def _build_provider(name: str, entry: Mapping[str, Any]) -> Provider:
    seconds = {_SECONDS[key]: float(value) for key, value in (entry.get("timeouts") or {}).items()}
    return Provider(
        name=name,
        kind=str(entry["kind"]),
        is_local=bool(entry.get("local", False)),
        is_proxied=bool(entry.get("proxied", False)),
        fresh_connections=bool(entry.get("fresh_connections", False)),
        slots=entry.get("slots"),
        timeouts=Timeouts(**seconds),
        min_interval_s=float(entry.get("min_interval_ms", 0)) / 1000,
        limits=Limits(*(entry.get(key) for key in ("rpm", "tpm", "parallel"))),
    )


def _build_target(
    entry: Mapping[str, Any], own: Mapping[str, Any], providers: Mapping[str, Provider], environ: Mapping[str, str]
) -> Target:
    parameters, info = entry["litellm_params"], entry.get("model_info") or {}
    prefix, _, model = str(parameters["model"]).partition("/")
    provider = providers[own["provider"]] if own else Provider(prefix, _KINDS.get(prefix, prefix), is_proxied=True)
    base = _resolve(parameters.get("api_base"), environ) or _OWN_ADDRESSES.get(provider.kind, "")
    if not base:
        raise ValueError(f"model {entry['model_name']!r} names no api_base")
    key = _resolve(parameters.get("api_key"), environ)
    headers = {str(k): _resolve(v, environ) for k, v in (parameters.get("extra_headers") or {}).items()}
    # How a connection is used is the provider's to say here, and a stock proxy's to read there.
    headers = {name: value for name, value in headers.items() if name.lower() != "connection"}
    return Target(
        name=str(entry["model_name"]),
        provider=provider,
        model=model,
        mode=info.get("mode", "chat"),
        base_url=_complete_base(base, provider.kind),
        key="" if key == _NO_KEY else key,
        headers=tuple(headers.items()),
        context_length=info.get("max_input_tokens"),
        tools=own.get("tools"),
        images=own.get("images"),
        revision=str(own.get("revision", "")),
        limits=Limits(parameters.get("rpm"), parameters.get("tpm"), parameters.get("max_parallel_requests")),
    )


def _complete_base(base: str, kind: str) -> str:
    """The address with the version that the server's paths stand under, which people leave out for some servers."""
    base = base.rstrip("/")
    if kind in ("ollama", "anthropic") and not base.endswith(_VERSION_PATH):
        return base + _VERSION_PATH
    return base


def _resolve(value: Any, environ: Mapping[str, str]) -> str:
    text = str(value or "")
    return environ.get(text.removeprefix(_REFERENCE), "").strip() if text.startswith(_REFERENCE) else text


def _build_route(
    name: str, targets: Mapping[str, Target], document: Mapping[str, Any], own: Mapping[str, Any]
) -> Route:
    entry = (own.get("routes") or {}).get(name) or {}
    settings = document.get("litellm_settings") or {}
    others = [other for item in settings.get("fallbacks") or () for other in item.get(name, ())]
    names = entry.get("targets") or [name, *others]
    is_local_only = bool(entry.get("local_only", False))
    if is_local_only and not any(targets[item].provider.is_local for item in names):
        raise ValueError(f"route {name!r} is local_only and has no local target")
    return Route(
        name=name,
        targets=tuple(targets[item] for item in names),
        retries=int(entry.get("retries", (document.get("router_settings") or {}).get("num_retries", 0))),
        deadline_s=float(entry.get("deadline_s", settings.get("request_timeout", DEFAULT_WAIT_S))),
        local_only=is_local_only,
        defaults=dict(entry.get("defaults") or {}),
        provider_key=_read_rule(name, entry.get("provider_key", "never")),
        cache=_build_cache(name, entry["cache"]) if "cache" in entry else None,
    )


def _build_cache(name: str, entry: Mapping[str, Any]) -> CacheRule:
    when, max_age_s = entry.get("when", "always"), float(entry.get("max_age_s", DEFAULT_CACHE_AGE_S))
    if when not in get_args(CacheWhen):
        raise ValueError(f"cache.when of route {name!r} is none of {', '.join(get_args(CacheWhen))}")
    if not 0 < max_age_s < math.inf:
        raise ValueError(f"cache.max_age_s of route {name!r} is no time")
    return CacheRule(when, max_age_s, bool(entry.get("shared", False)))


def _read_rule(name: str, value: Any) -> ProviderKeyRule:
    for rule in get_args(ProviderKeyRule):
        if value == rule:
            return rule  # type: ignore[no-any-return]
    raise ValueError(f"provider_key of route {name!r} is none of {', '.join(get_args(ProviderKeyRule))}")


def _build_alias(entry: Mapping[str, Any], routes: Mapping[str, Route]) -> Alias:
    alias = Alias(str(entry["match"]), str(entry["route"]))
    if alias.route not in routes:
        raise ValueError(f"alias {alias.match!r} leads to {alias.route!r}, which is not served")
    return alias
