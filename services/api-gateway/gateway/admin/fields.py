"""The fields of an action, checked one by one. Pure.

In: what came as JSON. Out: values, or ``RefusedError`` 400 that names the field and what was expected. A text that was
sent is never repeated: it may be a secret that stands in the wrong place. Null is a field that is left out.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Collection, Mapping
from typing import Any, NoReturn

from gateway.errors import ApiError, RefusedError
from gateway.state.keys import PREFIX
from gateway.state.values import RESERVED_NAMES

Fields = Mapping[str, Any]

MAX_NAME, MAX_NOTE, MAX_MODEL, MAX_MODELS = 64, 500, 256, 100
# The largest whole number that every reader of JSON keeps.
MAX_NUMBER = 2**53 - 1


def check_known(fields: Fields, known: Collection[str]) -> None:
    """Refuse an action with a field that it has not: what is misspelt must not be left out in silence."""
    for name in fields:
        if name not in known:
            expected = ", ".join(sorted(known)) or "none"
            raise RefusedError(_build(name[:80], f"Unknown field; this action takes {expected}."))


def read_name(fields: Fields, name: str = "name") -> str:
    """The name of a key: 1 to 64 printable characters, in the composed form of Unicode, without spaces around it."""
    text = read_text(fields, name, MAX_NAME)
    if not text:
        refuse(name, f"a name of 1 to {MAX_NAME} printable characters")
    if text.lower().startswith(PREFIX):
        refuse(name, f"a name, which does not begin with '{PREFIX}' as keys do")
    if text.casefold() in RESERVED_NAMES:
        refuse(name, f"another name than {', '.join(sorted(RESERVED_NAMES))}, which stand for other callers")
    return text


def read_note(fields: Fields, name: str) -> str:
    """A remark of up to 500 printable characters; empty where there is none."""
    return "" if fields.get(name) is None else read_text(fields, name, MAX_NOTE)


def read_count(fields: Fields, name: str) -> int | None:
    """A whole number of at least 1; None where there is none."""
    value = fields.get(name)
    # True is a number for Python.
    if value is not None and (type(value) is not int or not 1 <= value <= MAX_NUMBER):
        refuse(name, "a whole number of at least 1")
    return value


def read_flag(fields: Fields, name: str) -> bool:
    """True or false; false where it is left out."""
    value = fields.get(name)
    if value is not None and not isinstance(value, bool):
        refuse(name, "true or false")
    return bool(value)


def read_seconds(fields: Fields, name: str, default: float, most: float) -> float:
    """Seconds from 0 to the most that are taken."""
    value = default if fields.get(name) is None else fields[name]
    if not _is_number(value) or not 0 <= value <= most:
        refuse(name, f"seconds from 0 to {most:g}")
    return float(value)


def read_end(fields: Fields, name: str, now: float) -> float | None:
    """A time in the future, in seconds since 1970; None for never."""
    value = fields.get(name)
    if value is None:
        return None
    if not _is_number(value) or not now < value <= MAX_NUMBER:
        refuse(name, "a time in the future, in seconds since 1970")
    return float(value)


def read_time(fields: Fields, name: str) -> float | None:
    """A time in seconds since 1970; None where it is left out."""
    value = fields.get(name)
    if value is None:
        return None
    if not _is_number(value) or not 0 <= value <= MAX_NUMBER:
        refuse(name, "a time in seconds since 1970")
    return float(value)


def read_choice(fields: Fields, name: str, choices: tuple[str, ...]) -> str:
    """One of these words; the first where it is left out."""
    value = choices[0] if fields.get(name) is None else fields[name]
    if value not in choices:
        refuse(name, " or ".join(choices))
    return str(value)


def read_models(fields: Fields, name: str) -> tuple[str, ...]:
    """Names and patterns of models, each once; none for all."""
    value = fields.get(name)
    if value is None:
        return ()
    wanted = f"up to {MAX_MODELS} names or patterns of models, each of 1 to {MAX_MODEL} printable characters"
    if not isinstance(value, list) or len(value) > MAX_MODELS:
        refuse(name, wanted)
    models = [_clean(item) for item in value if isinstance(item, str)]
    if len(models) < len(value) or any(not 1 <= len(item) <= MAX_MODEL or not item.isprintable() for item in models):
        refuse(name, wanted)
    return tuple(dict.fromkeys(models))


def refuse(name: str, expected: str) -> NoReturn:
    """Refuse a field's value."""
    raise RefusedError(_build(name, f"Field '{name}' is wrong; expected {expected}."))


def read_text(fields: Fields, name: str, most: int) -> str:
    """A text in one line, of at most so many printable characters."""
    value = fields.get(name)
    text = _clean(value) if isinstance(value, str) else "\n"
    if len(text) > most or not text.isprintable():
        refuse(name, f"a text of up to {most} printable characters, in one line")
    return text


def _clean(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip()


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _build(name: str, text: str) -> ApiError:
    return ApiError(400, "invalid_parameter", text, name)
