"""The allow-list of a request's fields, format by format. Pure.

In: the JSON object of a request. Out: the fields that go on, or ``RefusedError`` that names the one which does not.
Values are never repeated in an error: a field may hold a key.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from gateway.errors import ApiError, RefusedError
from gateway.policy.tables.anthropic import MESSAGES
from gateway.policy.tables.field import Field, Table, Treatment
from gateway.policy.tables.openai import CHAT, COMPLETIONS, EMBEDDINGS, RERANK, RESPONSES
from gateway.policy.tables.steering import PREFIX_REASON, STEERING_PREFIXES

TABLES: Mapping[str, Table] = {
    "chat": CHAT,
    "completions": COMPLETIONS,
    "embeddings": EMBEDDINGS,
    "rerank": RERANK,
    "messages": MESSAGES,
    "messages_count": MESSAGES,
    "responses": RESPONSES,
    "responses_count": RESPONSES,
}

# Words of other formats for what a format has, where the spelling does not tell.
_OTHER_WORDS: Mapping[str, tuple[str, ...]] = {
    "content": ("input",),
    "input": ("messages", "prompt"),
    "instructions": ("messages", "system"),
    "max_length": ("max_tokens", "max_output_tokens"),
    "max_new_tokens": ("max_tokens", "max_output_tokens"),
    "max_output_tokens": ("max_tokens",),
    "max_tokens": ("max_output_tokens",),
    "messages": ("input", "prompt"),
    "prompt": ("messages", "input"),
    "stop": ("stop_sequences",),
    "stop_sequences": ("stop",),
    "system": ("messages", "instructions"),
    "texts": ("documents", "input"),
}
# What a list may hold, where servers answer other things with all sorts of failures.
_CONTENTS: Mapping[str, tuple[type, ...]] = {
    "documents": (str, dict),
    "input": (str, int, list, dict),
    "messages": (dict,),
    "prompt": (str, int, list),
    "stop": (str,),
    "tools": (dict,),
}
_NEVER_EMPTY = frozenset({"documents", "input", "messages", "prompt"})
_TYPE_WORDS: Mapping[type, str] = {str: "text", int: "whole number", list: "list", dict: "object"}
_PLAIN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
# The families of servers, by the kind of a provider; those of other kinds are a stranger's and get everything.
_FAMILIES = {
    "engine": "llama.cpp",
    "lm_studio": "llama.cpp",
    "ollama": "llama.cpp",
    "vllm": "vllm",
    "vllm-engine": "vllm",
    "openai": "openai",
    "anthropic": "anthropic",
}
_FAMILY_TITLES = {"llama.cpp": "llama.cpp", "vllm": "vLLM", "openai": "OpenAI", "anthropic": "Anthropic"}


def check_fields(request_format: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a request that go on: all of them known, of the right kind and not null.

    Args:
        request_format: a key of ``TABLES``.

    Raises:
        RefusedError: 400 ``unsupported_parameter``, ``invalid_parameter`` or ``missing_parameter``; its ``param``
            names the field.
    """
    table = TABLES[request_format]
    kept: dict[str, Any] = {}
    for name, value in body.items():
        field = table.fields.get(name)
        if field is None:
            raise _explain_unknown(name, table)
        if _goes_on(field, value):
            kept[name] = field.read(value)
    for field in table.renamed:
        if field.name in kept:
            kept.setdefault(field.stands_for, kept.pop(field.name))
    for field in table.required:
        if field.name not in kept:
            raise RefusedError(ApiError(400, "missing_parameter", f"Parameter '{field.name}' is missing.", field.name))
    _check_contents(kept)
    return kept


def _goes_on(field: Field, value: Any) -> bool:
    if field.treatment is Treatment.NEVER:
        raise _refuse(field.name, f"is not accepted: {field.why}")
    if value is None or field.treatment is Treatment.LEFT_OUT:
        return False
    if field.treatment is Treatment.REFUSED:
        if value and value not in field.harmless:
            raise _refuse(field.name, f"is not supported: {field.why}")
        return False
    if not field.fits(value):
        raise _refuse_value(field.name, field.kind)
    return True


def _explain_unknown(name: str, table: Table) -> RefusedError:
    if not _is_plain(name):
        text = "A parameter whose name is no plain word is not accepted."
        return RefusedError(ApiError(400, "unsupported_parameter", text))
    if name.startswith(STEERING_PREFIXES):
        return _refuse(name, f"is not accepted: {PREFIX_REASON}")
    usual = [other for other, field in table.fields.items() if field.treatment is Treatment.PASSED]
    near = [word for word in _OTHER_WORDS.get(name, ()) if word in usual]
    near = near or difflib.get_close_matches(name, usual, n=1, cutoff=0.75)
    hint = f"; did you mean '{near[0]}'?" if near else "."
    return RefusedError(ApiError(400, "unsupported_parameter", f"Parameter '{name}' is not known here{hint}", name))


def _is_plain(name: str) -> bool:
    """Whether a name may be repeated: it is a word, and no key that slipped into the wrong place."""
    return bool(_PLAIN_NAME.fullmatch(name)) and not name.startswith("sk-")


def _refuse(name: str, what: str) -> RefusedError:
    return RefusedError(ApiError(400, "unsupported_parameter", f"Parameter '{name}' {what}.", name))


def _refuse_value(name: str, kind: str) -> RefusedError:
    text = f"Parameter '{name}' must be {'an' if kind.startswith('o') else 'a'} {kind}."
    return RefusedError(ApiError(400, "invalid_parameter", text, name))


def _check_contents(kept: Mapping[str, Any]) -> None:
    """Refuse lists of what no server could read."""
    for name, kinds in _CONTENTS.items():
        value = kept.get(name)
        if value == [] and name in _NEVER_EMPTY:
            raise RefusedError(ApiError(400, "invalid_parameter", f"Parameter '{name}' is an empty list.", name))
        for place, item in enumerate(value) if isinstance(value, list) else ():
            if not isinstance(item, kinds) or isinstance(item, bool):
                raise _refuse_value(f"{name}[{place}]", " or ".join(_TYPE_WORDS[kind] for kind in kinds))


def fit_server(request_format: str, body: Mapping[str, Any], kind: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The fields that a provider's server knows, and the names of those left out because it does not.

    Args:
        body: what ``check_fields`` gave.
        kind: the provider's, such as ``engine`` or ``openai``.

    Raises:
        RefusedError: 400 for a field that the server does not know and whose answer would be another without it.
    """
    family = _FAMILIES.get(kind)
    fields = TABLES[request_format].fields
    unknown = [field for name in body if family and (field := fields.get(name)) and not field.is_known_to(family)]
    for field in unknown:
        if field.is_binding and body[field.name]:
            known = " and ".join(_FAMILY_TITLES[server] for server in sorted(field.servers))
            raise _refuse(field.name, f"is {known}'s, and this model's server does not know it: {field.why}")
    names = tuple(field.name for field in unknown)
    return {name: value for name, value in body.items() if name not in names}, names
