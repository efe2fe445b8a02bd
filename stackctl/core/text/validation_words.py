"""What pydantic found wrong in a file, in the words of whoever wrote the file. Pure.

In: one of pydantic's errors as a dict. Out: a message and one next step; never pydantic's own sentences or a regular
expression.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from stackctl.core.text.moments import parse_duration_s
from stackctl.core.text.printable import hide_user
from stackctl.errors import suggest_nearest

_WHOLE: Final = "expected a whole number"
_TEXT: Final = "expected a text"
_SECTION: Final = "expected keys and values, each on a line of its own below it"
_LIST: Final = "expected a list, such as [a, b]"

_EXPECTED: Final[Mapping[str, str]] = {
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_from_float": _WHOLE,
    "string_type": _TEXT,
    "string_too_short": _TEXT,
    "float_type": "expected a number",
    "float_parsing": "expected a number",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "dict_type": _SECTION,
    "mapping_type": _SECTION,
    "dataclass_type": _SECTION,
    "dataclass_exact_type": _SECTION,
    "tuple_type": _LIST,
    "list_type": _LIST,
    "too_short": "expected at least one entry",
}
# Keys whose number is of seconds; people write 1h there, which YAML reads as a text.
_IN_SECONDS: Final = frozenset({"between_tokens", "connect", "deadline", "first_token", "max_age", "whole"})
# The name that a key or a value has in other programs -> ours.
_ELSEWHERE: Final[Mapping[str, tuple[str, ...]]] = {
    "context_length": ("ctx", "n_ctx", "num_ctx", "ctx_size", "context", "max_model_len", "max_context"),
    "slots": ("parallel", "n_parallel", "np"),
    "gpu_layers": ("ngl", "n_gpu_layers", "num_gpu"),
    "file": ("path", "gguf", "model_path", "filename"),
    "arguments": ("args", "extra_args", "flags"),
    "api_base": ("url", "base_url", "endpoint", "host", "address"),
    "api_key": ("key", "token", "apikey"),
    "kind": ("type", "provider"),
    "local": ("is_local", "on_premises", "internal"),
    "timeouts": ("timeout", "timeout_s"),
    "first_token": ("ttft", "read", "first", "first_byte"),
    "whole": ("total", "all", "request"),
    "targets": ("target", "models", "model"),
    "fallbacks": ("fallback", "then"),
    "retries": ("num_retries", "max_retries"),
    "deadline": ("deadline_s", "timeout", "timeout_s"),
    "max_tokens": ("max_completion_tokens", "max_output_tokens", "n_predict"),
    "requests_per_minute": ("rpm",),
    "tokens_per_minute": ("tpm",),
    "parallel_requests": ("max_parallel", "max_parallel_requests", "concurrency"),
}


def suggest_key(name: str, known: list[str]) -> str:
    """``did you mean 'X'?`` for the key that this one stands for, or is nearest to; empty when there is none."""
    meant = next((ours for ours, others in _ELSEWHERE.items() if name.lower() in others and ours in known), "")
    return f"did you mean '{meant}'?" if meant else suggest_nearest(name, known)


def describe_error(error: Mapping[str, Any], subject: str, written: str) -> tuple[str, str]:
    """Message and hint of one error.

    Args:
        error: an error as pydantic's ``errors()`` gives it; unknown keys are another function's.
        subject: path of the value that is wrong, as people write it.
        written: the scalar as it stands in the file, which YAML may read as something else; empty for a section.
    """
    kind, seen, context = str(error["type"]), error.get("input"), error.get("ctx", {})
    if kind == "missing":
        name = subject.rpartition(".")[2]
        return "is missing", f"add '{name}:' with its value"
    if kind == "value_error":
        return str(error["msg"]).removeprefix("Value error, "), f"correct {subject}"
    if kind == "literal_error":
        number = str(context.get("expected", ""))
        choices = re.findall(r"'([^']*)'", number) or [number]
        nearest = suggest_nearest(seen, choices) if isinstance(seen, str) else ""
        only = f"one of {', '.join(choices)}" if len(choices) > 1 else choices[0]
        hint = f"write {number} without quotes" if seen == number else nearest or f"correct {subject}"
        return f"is {_show(seen)}; expected {only}", hint
    if kind in ("greater_than_equal", "less_than_equal"):
        bound = f"at least {context['ge']:.15g}" if "ge" in context else f"at most {context['le']:.15g}"
        return f"is {_show(seen)}; expected {bound}", f"correct {subject}"
    if kind == "expected":  # of our own: see ``Matches``
        return f"is {_show(seen)}; expected {error['msg']}", f"correct {subject}"
    if kind in ("float_type", "float_parsing") and subject.rpartition(".")[2] in _IN_SECONDS:
        return f"is {_show(seen)}; expected a number of seconds", _suggest_seconds(seen) or f"correct {subject}"
    message = f"is {_show(seen)}; {_EXPECTED.get(kind, 'expected another value')}"
    return message, _suggest_quotes(kind, seen, written) or f"correct {subject}"


def _suggest_seconds(seen: Any) -> str:
    try:
        seconds = parse_duration_s(str(seen))
    except ValueError:
        return ""
    return f"write {seconds}" if seconds else ""


def _suggest_quotes(kind: str, seen: Any, written: str) -> str:
    if _EXPECTED.get(kind) is _WHOLE and isinstance(seen, str) and seen.isdecimal():
        return f"write {seen} without quotes"
    if _EXPECTED.get(kind) is _TEXT and isinstance(seen, int | float):
        return f"write '{written}' in quotes"
    return ""


def _show(seen: Any) -> str:
    """A value as its file shows it."""
    if seen is None or seen in ("", [], {}, ()):
        return "empty"
    if isinstance(seen, bool):
        return str(seen).lower()
    if isinstance(seen, str):
        seen = hide_user(seen)
        return f"'{seen if len(seen) <= 60 else seen[:59] + '…'}'"
    if isinstance(seen, int | float):
        return str(seen)
    return "a list" if isinstance(seen, list | tuple) else "a section"
