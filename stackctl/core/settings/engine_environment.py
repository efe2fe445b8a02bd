"""Variables that the operator gives the engines beside ours: text to values, and what they may not say. Pure.

In: ``INFERENCE_ENVIRONMENT`` as shell words, ``environment:`` of a model in `stack.yml`. Out: name to value; in
`stack.yml` a value ``${NAME}`` is a reference to a variable of `.env`, so that no secret stands in a rendered file.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Set
from types import MappingProxyType
from typing import Final

from stackctl.errors import ConfigError, Finding

# The setting whose variables every engine is given.
SHARED: Final = "INFERENCE_ENVIRONMENT"
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_REFERENCE: Final = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")
_SECRET_NAME: Final = re.compile(r"(^|_)(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$", re.IGNORECASE)

# Each fact has one home: the variable to the setting that decides it.
_SETTING_OF: Final = MappingProxyType(
    {
        "LLAMA_API_KEY": "INFERENCE_API_KEY",
        "LLAMA_ARG_API_KEY": "INFERENCE_API_KEY",
        "LLAMA_ARG_API_KEY_FILE": "INFERENCE_API_KEY",
        "LLAMA_ARG_ALIAS": "the served name",
        "LLAMA_ARG_CACHE_IDLE_SLOTS": "PROMPT_CACHE",
        "LLAMA_ARG_CACHE_RAM": "PROMPT_CACHE",
        "LLAMA_ARG_CACHE_TYPE_K": "KV_CACHE_TYPE",
        "LLAMA_ARG_CACHE_TYPE_V": "KV_CACHE_TYPE",
        "LLAMA_ARG_CTX_SIZE": "CONTEXT_LENGTH",
        "LLAMA_ARG_MODEL": "CHAT_MODEL, CODE_MODEL or EMBEDDING_MODEL",
        "LLAMA_ARG_N_GPU_LAYERS": "GPU_LAYERS",
        "LLAMA_ARG_N_PARALLEL": "INFERENCE_SLOTS",
        "LLAMA_ARG_PORT": "INFERENCE_PORT",
        "LLAMA_ARG_THREADS": "INFERENCE_THREADS",
        "CUDA_VISIBLE_DEVICES": "GPU_DEVICES",
        "GGML_VK_VISIBLE_DEVICES": "GPU_DEVICES",
        "HIP_VISIBLE_DEVICES": "GPU_DEVICES",
        "NVIDIA_VISIBLE_DEVICES": "GPU_DEVICES",
        "VLLM_API_KEY": "INFERENCE_API_KEY",
    }
)
# What keeps an engine to itself, offline and answering health's questions.
_FIXED: Final = frozenset(
    {
        "DO_NOT_TRACK",
        "HF_HUB_OFFLINE",
        "HOME",
        "LLAMA_ARG_CORS_CREDENTIALS",
        "LLAMA_ARG_CORS_ORIGINS",
        "LLAMA_ARG_ENDPOINT_METRICS",
        "LLAMA_ARG_ENDPOINT_SLOTS",
        "LLAMA_ARG_HOST",
        "LLAMA_ARG_OFFLINE",
        "LLAMA_ARG_THREADS_HTTP",
        "LLAMA_ARG_UI",
        "LLAMA_ARG_WEBUI",
        "TRANSFORMERS_OFFLINE",
        "VLLM_HOST_IP",
        "VLLM_NO_USAGE_STATS",
    }
)


def parse_environment(text: str) -> dict[str, str]:
    """Read shell words ``NAME=value``: value by name; the last of two equal names counts.

    Raises:
        ConfigError: a quote is not closed, or a word is no assignment.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        finding = Finding(SHARED, f"cannot be read: {error}", "close the quote")
        raise ConfigError(f"{SHARED} is not usable.", finding.hint, [finding]) from error
    pairs = [word.partition("=") for word in words]
    findings = [
        Finding(SHARED, f"has the word '{name}', which is no NAME=value", "write NAME=value NAME=value")
        for name, equals, _ in pairs
        if not equals or not _NAME.fullmatch(name)
    ]
    if findings:
        raise ConfigError(f"{SHARED} is not usable.", findings[0].hint, findings)
    return {name: value for name, _, value in pairs}


def find_reference(value: str) -> str:
    """The variable of `.env` that a value refers to; empty for a value that is meant as it stands."""
    match = _REFERENCE.fullmatch(value)
    return match[1] if match else ""


def list_references(environment: Mapping[str, str]) -> dict[str, str]:
    """The variable of `.env` that holds each value, by name; only names whose value is such a reference."""
    return {name: reference for name, value in environment.items() if (reference := find_reference(value))}


def list_values(environment: Mapping[str, str]) -> dict[str, str]:
    """The value of each name, for those whose value stands as it is."""
    return {name: value for name, value in environment.items() if not find_reference(value)}


def check_environment(subject: str, environment: Mapping[str, str], own_secrets: Set[str]) -> list[Finding]:
    """Find variables that would take a fact from its home, or put a secret into a rendered file.

    Args:
        subject: where the variables stand: ``SHARED`` or ``models.NAME.environment``.
        own_secrets: settings that are secrets of the stack itself, which no engine is given under another name.
    """
    findings = []
    for name, value in environment.items():
        reference = find_reference(value)
        if setting := _SETTING_OF.get(name):
            findings.append(Finding(subject, f"sets {name}, which {setting} decides", f"set {setting} instead"))
        elif name in _FIXED:
            message = f"sets {name}, which the stack needs as it is"
            findings.append(Finding(subject, message, f"remove {name}"))
        elif reference in own_secrets:
            message = f"gives {reference}, a secret of the stack itself, to an engine"
            findings.append(Finding(subject, message, "name a variable of your own in .env"))
        elif _SECRET_NAME.search(name) and not reference:
            message = f"holds what looks like a secret, {name}, which would stand in a rendered file"
            # A name of its own: HF_TOKEN in .env is a setting, and a secret of the stack itself.
            own = f"ENGINE_{name.upper().lstrip('_')}"
            hint = f"put the value into .env as {own} and write {_show_place(name, own)}"
            findings.append(Finding(subject, message, hint))
        elif reference and subject == SHARED:
            message = f"takes {name} from {reference}; only stack.yml can name a variable of .env"
            findings.append(Finding(subject, message, f"write {_show_place(name, reference)}"))
        elif "\n" in value or "\0" in value:
            findings.append(Finding(subject, f"gives {name} more than one line", "write it on one line"))
    return findings


def _show_place(name: str, variable: str) -> str:
    return f"'{name}: ${{{variable}}}' under environment: of a model in stack.yml"
