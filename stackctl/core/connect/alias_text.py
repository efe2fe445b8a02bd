"""Put aliases into the text of `stack.yml` and take them out again, line by line, so that all else stays. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from stackctl.core.connect.edit import edit_text

_MARK = "\ufeff"
_SECTION = "aliases"


def add_aliases(text: str, aliases: Mapping[str, str]) -> str:
    """The text with these aliases behind those that it has; what it has of them already, as another command's, stays.

    Args:
        text: what the file holds; empty where there is none. A byte order mark and the ends of lines stay.

    Raises:
        ValueError: the file is no YAML that could be added to; the message says what was seen.
    """
    body = text.removeprefix(_MARK)
    before = _read(body)
    standing = before.get(_SECTION) or {}
    aliases = {name: model for name, model in aliases.items() if standing.get(name) != model}
    if not aliases:
        return text
    meant = {**before, _SECTION: {**standing, **aliases}}
    after = _insert(body, aliases)
    if after is None or not _holds(after, meant):
        return edit_text("yaml", text, {_SECTION: aliases})
    return text[: text.startswith(_MARK)] + after


def remove_aliases(text: str, aliases: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The text without those of these aliases that it still has as they were put in; and these.

    A section that is left empty is removed with the last of them.

    Raises:
        ValueError: the file cannot be read, or they cannot be taken out by their lines alone.
    """
    body = text.removeprefix(_MARK)
    before = _read(body)
    section = before.get(_SECTION) or {}
    gone = {name: model for name, model in aliases.items() if section.get(name) == model}
    rest = {name: model for name, model in section.items() if name not in gone}
    meant = {name: value for name, value in before.items() if name != _SECTION} | ({_SECTION: rest} if rest else {})
    after = _cut(body, gone, with_section=not rest) if gone else body
    if gone and not _holds(after, meant):
        raise ValueError("they stand in no lines of their own")
    return text[: text.startswith(_MARK)] + after, gone


def _read(text: str) -> dict[str, Any]:
    """The document as a mapping of plain values.

    Raises:
        ValueError: it cannot be read, or is none.
    """
    try:
        value: Any = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        raise ValueError(f"line {mark.line + 1}: it is no YAML" if mark else "it is no YAML") from error
    if value is None:
        return {}
    if not isinstance(value, dict) or not isinstance(value.get(_SECTION) or {}, dict):
        raise ValueError("it holds no names and values where 'aliases' would stand")
    return dict(value)


def _holds(text: str | None, meant: dict[str, Any]) -> bool:
    """Whether a text says what was meant, and nothing else."""
    try:
        return text is not None and _read(text) == meant
    except ValueError:
        return False


def _compose(text: str) -> dict[str, tuple[yaml.Node, yaml.Node]]:
    """Key and value of the document's top level, as nodes that know where they stand."""
    # Not libyaml's loader: only Python's counts places in characters whatever the text holds.
    node = yaml.compose(text, yaml.SafeLoader)
    return {key.value: (key, value) for key, value in node.value} if isinstance(node, yaml.MappingNode) else {}


def _insert(text: str, aliases: Mapping[str, str]) -> str | None:
    """The text with one line more for each alias; None where that is not how the section is written."""
    end = "\r\n" if "\r\n" in text else "\n"
    pair = _compose(text).get(_SECTION)
    if pair is None:
        head = text if not text or text.endswith("\n") else text + end
        gap = end if head.strip() and not head.endswith(end * 2) else ""
        return f"{head}{gap}{_SECTION}:{end}{_write(aliases, '  ', end)}"
    key, value = pair
    if isinstance(value, yaml.MappingNode) and value.value and not value.flow_style:
        first, last = value.value[0][0], value.value[-1][1]
        return _put_after(text, last.end_mark.index, _write(aliases, " " * first.start_mark.column, end), end)
    if isinstance(value, yaml.ScalarNode) and not value.value:
        indent = " " * (key.start_mark.column + 2)
        return _put_after(text, key.end_mark.index, _write(aliases, indent, end), end)
    return None


def _write(aliases: Mapping[str, str], indent: str, end: str) -> str:
    """A line for each alias, its names in quotes where YAML would take them for something else."""
    lines = yaml.safe_dump(dict(aliases), sort_keys=False, width=10_000, allow_unicode=True).splitlines()
    return "".join(f"{indent}{line}{end}" for line in lines)


def _put_after(text: str, place: int, lines: str, end: str) -> str:
    """Lines behind the one that a place is in."""
    at = text.find("\n", place)
    return f"{text}{end}{lines}" if at < 0 else text[: at + 1] + lines + text[at + 1 :]


def _cut(text: str, aliases: Mapping[str, str], *, with_section: bool) -> str:
    """The text without the lines of these aliases, and without the section's own where nothing is left in it."""
    end = "\r\n" if "\r\n" in text else "\n"
    key, value = _compose(text)[_SECTION]
    spans = [
        (name.start_mark.index, item.end_mark.index)
        for name, item in (value.value if isinstance(value, yaml.MappingNode) else ())
        if name.value in aliases
    ]
    if with_section:
        spans.append((key.start_mark.index, key.end_mark.index))
    for start, stop in sorted(spans, reverse=True):
        first, last = text.rfind("\n", 0, start) + 1, text.find("\n", stop)
        text = text[:first] + (text[last + 1 :] if last >= 0 else "")
    # The empty line before a section that was put at the end.
    return text[: -len(end)] if with_section and text.endswith(end * 2) else text
