"""Edit JSON as people keep it, with comments and commas behind the last item, and leave the rest as it is. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stackctl.core.connect.merging import merge

_BLANK = re.compile(r"(?:[ \t\r\n]+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_SCALARS = json.JSONDecoder()
_MAX_DEPTH = 100


@dataclass(slots=True)
class _Node:
    """A value and where it stands: ``text[start:end]``; members only of objects, in order."""

    start: int
    end: int = 0
    value: Any = None
    members: dict[str, _Node] = field(default_factory=dict)
    has_last_comma: bool = False


def edit_json(text: str, values: Mapping[str, Any]) -> str:
    """The text with the values in it; its comments, order and other members stay.

    Raises:
        ValueError: the text is no JSON object; the message says what was seen and on which line.
    """
    if _skip(text, 0) == len(text):  # nothing, or comments alone
        head = text if not text.strip() or text.endswith("\n") else f"{text}\n"
        return head.lstrip() + json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    node = _read_document(text)
    if not isinstance(node.value, dict):
        raise ValueError("it holds no object")
    edits: list[tuple[int, int, str]] = []
    _merge(text, node, values, _find_unit(text), edits)
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def read_json_text(text: str) -> Any:
    """The value of a text in JSON with comments; None where it holds none.

    Raises:
        ValueError: it is none.
    """
    return _read_document(text).value if _skip(text, 0) < len(text) else None


def _read_document(text: str) -> _Node:
    node = _read(text, _skip(text, 0), 0)
    if (end := _skip(text, node.end)) < len(text):
        raise _name(text, end, "more after the end")
    return node


def _skip(text: str, place: int) -> int:
    found = _BLANK.match(text, place)
    assert found is not None
    return found.end()


def _name(text: str, place: int, what: str) -> ValueError:
    return ValueError(f"line {text.count(chr(10), 0, place) + 1}: {what}")


def _read(text: str, start: int, depth: int) -> _Node:
    if depth > _MAX_DEPTH:
        raise _name(text, start, "it is nested too deeply")
    opening = text[start : start + 1]
    if opening in ("{", "["):
        return _read_items(text, start, depth, "}" if opening == "{" else "]")
    try:
        value, end = _SCALARS.raw_decode(text, start)
    except (json.JSONDecodeError, RecursionError, ValueError) as error:
        raise _name(text, start, "a value was expected") from error
    return _Node(start, end, value)


def _read_items(text: str, start: int, depth: int, closing: str) -> _Node:
    """An object or a list."""
    node = _Node(start, value={} if closing == "}" else [])
    place = _skip(text, start + 1)
    while text[place : place + 1] != closing:
        if node.value and not node.has_last_comma:
            raise _name(text, place, f"',' or '{closing}' was expected")
        if closing == "}":
            key = _read(text, place, depth + 1)
            colon = _skip(text, key.end)
            if not isinstance(key.value, str) or text[colon : colon + 1] != ":":
                raise _name(text, place, "a name in quotes and ':' were expected")
            item = _read(text, _skip(text, colon + 1), depth + 1)
            node.members[key.value] = item
            node.value[key.value] = item.value
        else:
            item = _read(text, place, depth + 1)
            node.value.append(item.value)
        place = _skip(text, item.end)
        node.has_last_comma = text[place : place + 1] == ","
        place = _skip(text, place + 1) if node.has_last_comma else place
    node.end = place + 1
    return node


def _find_unit(text: str) -> str:
    """What one step of indentation is in this text."""
    steps = [line[: len(line) - len(line.lstrip())] for line in text.splitlines() if line.lstrip()[:1] == '"']
    return min((step for step in steps if step), key=len, default="  ")


def _merge(text: str, node: _Node, values: Mapping[str, Any], unit: str, edits: list[tuple[int, int, str]]) -> None:
    """Note what has to be replaced so that an object holds the values."""
    inner = _find_indent(text, node.start) + unit
    missing: list[str] = []
    for key, value in values.items():
        member = node.members.get(key)
        if member is None:
            missing.append(f"{json.dumps(key, ensure_ascii=False)}: {_dump(value, unit, inner)}")
        elif isinstance(member.value, dict) and isinstance(value, Mapping):
            _merge(text, member, value, unit, edits)
        elif (merged := merge(member.value, value)) != member.value or type(merged) is not type(member.value):
            edits.append((member.start, member.end, _dump(merged, unit, inner)))
    if missing:
        _append(text, node, missing, inner, edits)


def _append(text: str, node: _Node, missing: list[str], inner: str, edits: list[tuple[int, int, str]]) -> None:
    """Put members behind the last one, and behind what is said about it."""
    brace = node.end - 1
    last = len(text[:brace].rstrip())
    new = ",".join(f"\n{inner}{member}" for member in missing)
    if node.members and not node.has_last_comma:
        end = max(member.end for member in node.members.values())
        if end == last:
            new = f",{new}"
        else:  # a comment stands between
            edits.append((end, end, ","))
    edits.append((last, brace, f"{new}\n{_find_indent(text, node.start)}"))


def _find_indent(text: str, place: int) -> str:
    line = text[text.rfind("\n", 0, place) + 1 : place]
    return line[: len(line) - len(line.lstrip())]


def _dump(value: Any, unit: str, indent: str) -> str:
    return json.dumps(value, indent=unit, ensure_ascii=False).replace("\n", f"\n{indent}")
