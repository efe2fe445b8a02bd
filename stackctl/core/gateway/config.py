"""What LiteLLM is configured with, and the check of the rendered text before anything starts. Pure.

In: one ``GatewayConfig`` for the template ``services/api-gateway/config.p1.yaml.j2``; or the rendered YAML. Out:
findings. The check exists because LiteLLM ignores every key and drops every model that it does not know, and its own
``--validate_config`` ends with 0 all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from stackctl.errors import ConfigError, Finding, suggest_nearest

DeploymentMode = Literal["chat", "embedding", "rerank"]

CONFIG_FILE = "config.p1.yaml"
# What a server is sent that wants no key: LiteLLM's clients do not send nothing.
NO_KEY = "none"

# LiteLLM's prefixes of the providers that stack.yml can name, and of close relatives an operator may add.
PROVIDERS = frozenset(
    {"anthropic", "azure", "hosted_vllm", "llamafile", "lm_studio", "ollama", "ollama_chat", "openai", "openrouter"}
)

# Keys that the template writes, by the place they stand in; LiteLLM reads each of them there.
_KNOWN_KEYS: Mapping[str, frozenset[str]] = {
    "": frozenset({"model_list", "router_settings", "litellm_settings", "general_settings"}),
    "model_list": frozenset({"model_name", "litellm_params", "model_info"}),
    "litellm_params": frozenset(
        {
            "api_base",
            "api_key",
            "extra_headers",
            "max_parallel_requests",
            "model",
            "rpm",
            "timeout",
            "tpm",
            "use_chat_completions_api",
        }
    ),
    "model_info": frozenset({"max_input_tokens", "max_output_tokens", "mode"}),
    "router_settings": frozenset({"disable_cooldowns", "num_retries", "optional_pre_call_checks"}),
    "litellm_settings": frozenset(
        {
            "callbacks",
            "disable_hf_tokenizer_download",
            "drop_params",
            "fallbacks",
            "request_timeout",
            "telemetry",
            "use_chat_completions_url_for_anthropic_messages",
        }
    ),
    "general_settings": frozenset({"cancel_on_disconnect", "custom_auth", "disable_model_info_refresh"}),
}
_REFERENCE = re.compile(r"os\.environ/[A-Za-z_][A-Za-z0-9_]*")
# Header values that say how a connection is used and cannot be a secret.
_PLAIN_HEADERS = frozenset({"connection"})


@dataclass(frozen=True, slots=True)
class Deployment:
    """One model behind the gateway.

    Attributes:
        served_name: name that clients ask for.
        model: LiteLLM's name of the model, ``<provider>/<name at the provider>``.
        api_base: base URL, or ``os.environ/NAME``; empty takes the provider's own.
        api_key: reference ``os.environ/NAME``, or ``none`` where the provider wants no key.
        context_length: tokens of prompt and answer together; ``None`` when unknown.
        rpm, tpm: hard limits of requests and tokens a minute.
        headers: request headers that every call to the provider carries; values may be ``os.environ/NAME``.
        timeout_s: seconds that replace the gateway's request timeout for this model.
        fresh_connections: whether each call gets a connection of its own. llama.cpp's server cuts connections that are
            used again: of 200 streamed calls at 8 clients 3 to 4 failed so, and none of 400 over fresh ones.
    """

    served_name: str
    model: str
    api_base: str
    api_key: str
    mode: DeploymentMode
    context_length: int | None = None
    max_output_tokens: int | None = None
    rpm: int | None = None
    tpm: int | None = None
    max_parallel_requests: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    timeout_s: float | None = None
    fresh_connections: bool = False

    @property
    def all_headers(self) -> tuple[tuple[str, str], ...]:
        """The request headers, with the one that asks for a connection of its own where that is wanted."""
        return (*self.headers, ("Connection", "close")) if self.fresh_connections else self.headers


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """The values that the template of LiteLLM's configuration is rendered with.

    Attributes:
        fallbacks: served name and the served names to try, in order, when it fails.
        num_retries: further tries of one deployment before its fallbacks.
        log_prompts: whether prompts and answers may be logged; the gateway reads it from its environment.
    """

    deployments: tuple[Deployment, ...]
    fallbacks: tuple[tuple[str, tuple[str, ...]], ...] = ()
    request_timeout_s: float = 600.0
    num_retries: int = 0
    log_prompts: bool = False

    @property
    def has_rate_limits(self) -> bool:
        """Whether any deployment limits requests or tokens a minute."""
        return any(item.rpm is not None or item.tpm is not None for item in self.deployments)


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
        yield (), "is no mapping", "render the configuration again"
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


def _check_section(path: tuple[Any, ...], value: Any, place: str) -> Iterator[Problem]:
    if isinstance(value, dict):
        yield from _check_keys(path, value, place)
    else:
        yield path, "is no mapping", "render the configuration again"


def _check_keys(path: tuple[Any, ...], mapping: Mapping[Any, Any], place: str) -> Iterator[Problem]:
    known = _KNOWN_KEYS[place]
    for key in mapping:
        if key not in known:
            nearest = suggest_nearest(str(key), known)
            yield (*path, key), "is no key that LiteLLM reads here; it would be ignored", nearest or "remove it"


def _check_entry(path: tuple[Any, ...], entry: Any, names: set[str]) -> Iterator[Problem]:
    """Check one entry of ``model_list``, and add its served name to ``names``."""
    if not isinstance(entry, dict):
        yield path, "is no mapping", "render the configuration again"
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
        yield (*path, "litellm_params"), "is no mapping", "render the configuration again"
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
