"""The check of a rendered gateway configuration before anything starts. Pure.

In: the YAML that the template writes. Out: findings. The check exists because LiteLLM ignores every key and drops every
model that it does not know, and its own ``--validate_config`` ends with 0 all the same; and because the gateway, which
refuses what it cannot read, would do so only when it is started.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from stackctl.core.gateway.config import CONFIG_FILE
from stackctl.core.settings.stackfile import DEFAULT_BOUNDS
from stackctl.errors import ConfigError, Finding, suggest_nearest

# LiteLLM's prefixes of the providers that stack.yml can name, and of close relatives an operator may add.
PROVIDERS = frozenset(
    {"anthropic", "azure", "hosted_vllm", "llamafile", "lm_studio", "ollama", "ollama_chat", "openai", "openrouter"}
)

# Keys that the template writes, by the place they stand in; LiteLLM reads each of them there.
_LITELLM_KEYS: Mapping[str, frozenset[str]] = {
    "": frozenset({"gateway", "general_settings", "litellm_settings", "model_list", "router_settings"}),
    "model_list": frozenset({"litellm_params", "model_info", "model_name"}),
    "litellm_params": frozenset(
        {
            "api_base",
            "api_key",
            "extra_headers",
            "max_parallel_requests",
            "model",
            "num_retries",
            "rpm",
            "timeout",
            "tpm",
            "use_chat_completions_api",
            *DEFAULT_BOUNDS,
        }
    ),
    "model_info": frozenset({"max_input_tokens", "max_output_tokens", "mode"}),
    "router_settings": frozenset({"disable_cooldowns", "num_retries", "optional_pre_call_checks"}),
    "litellm_settings": frozenset(
        {
            "disable_hf_tokenizer_download",
            "drop_params",
            "fallbacks",
            "request_timeout",
            "telemetry",
            "use_chat_completions_url_for_anthropic_messages",
        }
    ),
    "general_settings": frozenset({"disable_model_info_refresh", "master_key"}),
}
# Keys that the gateway reads, which LiteLLM does not know.
_GATEWAY_KEYS: Mapping[str, frozenset[str]] = {
    "gateway": frozenset(
        {
            "aliases",
            "cache",
            "content_log",
            "cors_origins",
            "embeddings",
            "formats",
            "models",
            "providers",
            "queue",
            "routes",
        }
    ),
    "queue": frozenset({"length", "wait_s"}),
    "cache": frozenset({"size_mb"}),
    "content_log": frozenset({"keep_days", "keep_mb", "masks"}),
    "provider": frozenset(
        {
            "fresh_connections",
            "kind",
            "local",
            "min_interval_ms",
            "parallel",
            "proxied",
            "rpm",
            "slots",
            "timeouts",
            "tpm",
        }
    ),
    "timeouts": frozenset({"between_tokens", "connect", "first_token", "whole"}),
    "model": frozenset({"images", "provider", "revision", "tools"}),
    "route": frozenset({"cache", "deadline_s", "defaults", "local_only", "provider_key", "retries", "targets"}),
    "route_cache": frozenset({"max_age_s", "shared", "when"}),
    "alias": frozenset({"match", "route"}),
}
_REFERENCE = re.compile(r"os\.environ/[A-Za-z_][A-Za-z0-9_]*")
# Header values that say how a connection is used and cannot be a secret.
_PLAIN_HEADERS = frozenset({"connection"})
_AGAIN = "render the configuration again"


def check_gateway_config(text: str) -> tuple[Finding, ...]:
    """Everything in a rendered configuration that LiteLLM would ignore, drop or take from the wrong place.

    Args:
        text: text of the YAML that the template writes.

    Returns:
        Findings in the order of the file; none when the configuration does what it says.
    """
    # Imported here: PyYAML costs 15 ms, which commands that render nothing need not pay.
    from stackctl.core.text.yamltree import parse_yaml

    try:
        tree = parse_yaml(text, CONFIG_FILE)
    except ConfigError as error:
        return tuple(error.findings)
    found = [*tree.findings]
    for path, message, hint in _check_document(tree.value):
        found.append(Finding(_name(path), message, hint, file=CONFIG_FILE, line=tree.find_line(path)))
    return tuple(sorted(found, key=lambda finding: finding.line))


Problem = tuple[tuple[Any, ...], str, str]


def _check_document(document: Any) -> Iterator[Problem]:
    if not isinstance(document, dict):
        yield (), "is no mapping", _AGAIN
        return
    yield from _check_keys((), document, "")
    for section in ("router_settings", "litellm_settings", "general_settings"):
        if section in document:
            yield from _check_section((section,), document[section], section)
    entries = document.get("model_list")
    if not isinstance(entries, list):
        yield ("model_list",), "is no list of models", "configure at least one model"
        return
    names: set[str] = set()
    for index, entry in enumerate(entries):
        yield from _check_entry(("model_list", index), entry, names)
    yield from _check_fallbacks(document, names)
    yield from _check_master_key(document)
    if "gateway" in document:
        yield from _check_gateway(document["gateway"], names)


def _check_master_key(document: Mapping[str, Any]) -> Iterator[Problem]:
    settings = document.get("general_settings")
    key = settings.get("master_key") if isinstance(settings, dict) else None
    if key is not None and not _is_reference(key):
        yield ("general_settings", "master_key"), "holds a value of its own", "name a variable as os.environ/NAME"


def _check_gateway(section: Any, names: set[str]) -> Iterator[Problem]:
    """Check the section that the gateway reads beside LiteLLM's: keys, and that every name in it is there."""
    path = ("gateway",)
    yield from _check_section(path, section, "gateway")
    if not isinstance(section, dict):
        return
    for key in ("cache", "content_log", "queue"):
        if key in section:
            yield from _check_section((*path, key), section[key], key)
    providers, models, routes = (dict(_list_sections(section, name)) for name in ("providers", "models", "routes"))
    for kind, entries in (("provider", providers), ("model", models), ("route", routes)):
        for name, entry in entries.items():
            yield from _check_section((*path, f"{kind}s", name), entry, kind)
    for name, entry in providers.items():
        if isinstance(entry, dict) and "timeouts" in entry:
            yield from _check_section((*path, "providers", name, "timeouts"), entry["timeouts"], "timeouts")
    for name, entry in models.items():
        yield from _check_names((*path, "models", name), (name,), names)
        yield from _check_names((*path, "models", name, "provider"), (_read(entry, "provider"),), providers)
    yield from _check_names((*path, "models"), names - models.keys(), ())
    for name, entry in routes.items():
        yield from _check_names((*path, "routes", name, "targets"), _read(entry, "targets") or (None,), names)
        if isinstance(entry, dict) and "cache" in entry:
            yield from _check_section((*path, "routes", name, "cache"), entry["cache"], "route_cache")
    yield from _check_aliases((*path, "aliases"), section.get("aliases", []), routes)


def _list_sections(section: Mapping[str, Any], name: str) -> Iterator[tuple[Any, Any]]:
    entries = section.get(name)
    yield from entries.items() if isinstance(entries, dict) else ()


def _read(entry: Any, key: str) -> Any:
    return entry.get(key) if isinstance(entry, dict) else None


def _check_names(path: tuple[Any, ...], seen: Any, known: Iterable[Any]) -> Iterator[Problem]:
    listed = [str(name) for name in known]
    for name in seen if isinstance(seen, list | tuple | set) else (seen,):
        if not isinstance(name, str) or name not in listed:
            yield path, f"{name!r} is not there", suggest_nearest(str(name), listed) or _AGAIN


def _check_aliases(path: tuple[Any, ...], aliases: Any, routes: Iterable[Any]) -> Iterator[Problem]:
    if not isinstance(aliases, list):
        yield path, "is no list", _AGAIN
        return
    for index, alias in enumerate(aliases):
        yield from _check_section((*path, index), alias, "alias")
        yield from _check_names((*path, index), (_read(alias, "route"),), routes)


def _check_section(path: tuple[Any, ...], value: Any, place: str) -> Iterator[Problem]:
    if isinstance(value, dict):
        yield from _check_keys(path, value, place)
    else:
        yield path, "is no mapping", _AGAIN


def _check_keys(path: tuple[Any, ...], mapping: Mapping[Any, Any], place: str) -> Iterator[Problem]:
    known = _LITELLM_KEYS[place] if place in _LITELLM_KEYS else _GATEWAY_KEYS[place]
    reader = "LiteLLM" if place in _LITELLM_KEYS else "the gateway"
    for key in mapping:
        if key not in known:
            nearest = suggest_nearest(str(key), known)
            yield (*path, key), f"is no key that {reader} reads here; it would be ignored", nearest or "remove it"


def _check_entry(path: tuple[Any, ...], entry: Any, names: set[str]) -> Iterator[Problem]:
    """Check one entry of ``model_list``, and add its served name to ``names``."""
    if not isinstance(entry, dict):
        yield path, "is no mapping", _AGAIN
        return
    yield from _check_keys(path, entry, "model_list")
    name = entry.get("model_name")
    if not isinstance(name, str) or not name:
        yield (*path, "model_name"), f"is {name!r}; expected a served name", "name the model"
    elif name in names:
        yield (*path, "model_name"), f"'{name}' is served twice", "rename one of the two models"
    else:
        names.add(name)
    parameters = entry.get("litellm_params")
    if not isinstance(parameters, dict):
        yield (*path, "litellm_params"), "is no mapping", _AGAIN
        return
    yield from _check_parameters((*path, "litellm_params"), parameters)
    yield from _check_section((*path, "model_info"), entry.get("model_info", {}), "model_info")


def _check_parameters(path: tuple[Any, ...], parameters: Mapping[str, Any]) -> Iterator[Problem]:
    yield from _check_keys(path, parameters, "litellm_params")
    model = parameters.get("model")
    provider, slash, rest = str(model).partition("/")
    if not isinstance(model, str) or not slash or not rest or provider not in PROVIDERS:
        message = f"is {model!r}; LiteLLM drops a model without a known provider before the slash"
        hint = suggest_nearest(provider, PROVIDERS) or f"one of {', '.join(sorted(PROVIDERS))}"
        yield (*path, "model"), message, hint
    key = parameters.get("api_key")
    if key != "none" and not _is_reference(key):
        # The value is not shown: it may be the secret itself.
        yield (*path, "api_key"), "holds a value of its own", "name a variable as os.environ/NAME, or none"
    headers = parameters.get("extra_headers", {})
    for name, value in headers.items() if isinstance(headers, dict) else ():
        if not _is_reference(value) and str(name).lower() not in _PLAIN_HEADERS:
            yield (*path, "extra_headers", name), "holds a value of its own", "name a variable as os.environ/NAME"


def _is_reference(value: Any) -> bool:
    return isinstance(value, str) and _REFERENCE.fullmatch(value) is not None


def _check_fallbacks(document: Mapping[str, Any], names: set[str]) -> Iterator[Problem]:
    settings = document.get("litellm_settings")
    fallbacks = settings.get("fallbacks", []) if isinstance(settings, dict) else []
    path = ("litellm_settings", "fallbacks")
    for index, item in enumerate(fallbacks if isinstance(fallbacks, list) else []):
        for name, others in item.items() if isinstance(item, dict) else ():
            for other in (name, *(others if isinstance(others, list) else [])):
                if not isinstance(other, str) or other not in names:
                    yield (*path, index, name), f"'{other}' is not served", suggest_nearest(str(other), names)


def _name(path: tuple[Any, ...]) -> str:
    """A path as people write it: ``model_list[0].litellm_params.model``."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in path]
    return "".join(parts).lstrip(".") or "configuration"
