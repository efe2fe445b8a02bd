"""A model's text becomes a typed value, or the faults that the model is told. Pure.

What is mended: JSON that is written almost right (fences and prose around it, quotes, commas, brackets, comments,
Python's words), one object more around it, a list of one, a single text where a list is due. What is refused: anything
in which it is a guess what was meant, and anything that came cut off.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, get_origin

from json_repair import repair_json
from pydantic import BaseModel, ValidationError

Draft = TypeVar("Draft", bound=BaseModel)

# More than any valid answer has; what a server sends beyond it is not worth the time that mending takes.
MAX_CHARACTERS = 64 * 1024
# Of one that is not written right: of some nonsense, mending takes four times as long where it is twice as long.
_MAX_MENDED = 8 * 1024
_MAX_DEPTH = 32
_MAX_FAULTS = 6
_CLOSERS = {"[": "]", "{": "}"}
_THOUGHT = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
_LIMITS = ("max_length", "min_length", "expected")


@dataclass(frozen=True, slots=True)
class Fault:
    """One reason why an answer is not valid; the prompts have a sentence for each code.

    Attributes:
        code: ``no_object``, ``several_objects``, ``cut_off``, ``repeated_field``, ``too_large``, or pydantic's type.
        where: place in the object, such as ``goals.0``; empty for the whole.
        limit: what was expected there, such as a number or the words that are possible; empty for nothing more to say.
    """

    code: str
    where: str = ""
    limit: str = ""


class UnreadableError(Exception):
    """The answer is not valid."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__(", ".join(fault.code for fault in faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Reading(Generic[Draft]):
    """A valid answer; ``is_mended`` where it was not written like that."""

    value: Draft
    is_mended: bool


def read_answer(text: str, kind: type[Draft], is_cut: bool = False) -> Reading[Draft]:
    """Make a value of what a model wrote.

    Args:
        is_cut: whether the server stopped it at a limit of tokens.

    Raises:
        UnreadableError: it is none, and cannot be mended without a guess.
    """
    try:
        found, was_mended = _load_object(_THOUGHT.sub("", text, count=1).strip().lstrip("\ufeff"), is_cut)
    except RecursionError:  # brackets in texts can hide from the measure how deep it is
        raise UnreadableError(Fault("too_large")) from None
    shaped = _shape(found, kind)
    try:
        return Reading(kind.model_validate(shaped), was_mended or shaped != found)
    except ValidationError as error:
        raise UnreadableError(*_list_faults(error)) from None


def _load_object(text: str, is_cut: bool) -> tuple[dict[str, Any], bool]:
    if len(text) > MAX_CHARACTERS or _measure_depth(text) > _MAX_DEPTH:
        raise UnreadableError(Fault("too_large"))
    try:
        found = json.loads(text, object_pairs_hook=_refuse_repeated)
    except ValueError:
        if is_cut:
            raise UnreadableError(Fault("cut_off")) from None
        found = _find_whole(text) or _mend(text)
    else:
        if isinstance(found, dict):
            return found, False
        if isinstance(found, str):  # an object that was written as a text
            return _load_object(found.strip(), is_cut)[0], True
    return _pick_object(found), True


def _mend(text: str) -> object:
    if len(text) > _MAX_MENDED:
        raise UnreadableError(Fault("too_large"))
    try:
        return repair_json(text, return_objects=True)
    except ValueError:  # parentheses nest for json-repair, too
        raise UnreadableError(Fault("too_large")) from None


def _find_whole(text: str) -> dict[str, Any] | None:
    """The object in other text that is written right; None where the first one is not.

    Looked for first, because of several objects with the same fields json-repair keeps the last without a word.
    """
    decoder = json.JSONDecoder(object_pairs_hook=_refuse_repeated)
    start = text.find("{")
    try:
        found, end = decoder.raw_decode(text, max(start, 0))
    except ValueError:
        return None
    while (start := text.find("{", end)) >= 0:
        try:
            decoder.raw_decode(text, start)
        except ValueError:
            end = start + 1
        else:
            raise UnreadableError(Fault("several_objects"))
    return found if isinstance(found, dict) else None


def _pick_object(found: object) -> dict[str, Any]:
    if isinstance(found, list):
        objects = [item for item in found if isinstance(item, dict)]
        if len(objects) > 1:
            raise UnreadableError(Fault("several_objects"))
        found = objects[0] if len(found) == len(objects) == 1 else None
    if not isinstance(found, dict) or not found:
        raise UnreadableError(Fault("no_object"))
    return found


def _refuse_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise UnreadableError(Fault("repeated_field", where=_show_name(repeated)))
    return found


def _shape(found: dict[str, Any], kind: type[BaseModel]) -> dict[str, Any]:
    """Take away an object around it, and make a list of a single text or of nothing where a list is due."""
    if len(found) == 1 and not found.keys() & kind.model_fields.keys():
        (inner,) = found.values()
        found = inner if isinstance(inner, dict) else found
    shaped = dict(found)
    for name, about in kind.model_fields.items():
        if get_origin(about.annotation) is tuple and name in shaped:
            if shaped[name] is None:
                shaped[name] = []
            elif isinstance(shaped[name], str | dict):
                shaped[name] = [shaped[name]]
    return shaped


def _measure_depth(text: str) -> int:
    """How deep brackets are nested, those in texts included; one that closes nothing counts for nothing."""
    pending: list[str] = []
    deepest = 0
    for character in text:
        if character in _CLOSERS:
            pending.append(_CLOSERS[character])
            deepest = max(deepest, len(pending))
        elif pending and character == pending[-1]:
            pending.pop()
    return deepest


def _list_faults(error: ValidationError) -> list[Fault]:
    faults = []
    for found in error.errors(include_url=False, include_input=False)[:_MAX_FAULTS]:
        context = found.get("ctx") or {}
        limit = next((str(context[name]) for name in _LIMITS if name in context), "")
        faults.append(Fault(found["type"], ".".join(_show_name(part) for part in found["loc"]), limit))
    return faults


def _show_name(part: object) -> str:
    """A name that the model may have made up: it is as long as it likes, and may be half a surrogate pair."""
    return str(part)[:40].encode("utf-8", "replace").decode()
