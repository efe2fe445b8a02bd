"""Put what a tool needs into its own file, and leave everything else in it as it is: comments, order, spaces. Pure.

In YAML, the library sets spaces anew where something is changed.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from typing import Any

from stackctl.core.connect.json_text import edit_json, read_json_text
from stackctl.core.connect.merging import find_name, merge
from stackctl.core.connect.values import FileKind

_MARK = "\ufeff"


def edit_text(kind: FileKind, text: str, values: Mapping[str, Any]) -> str:
    """The text of a file with the values in it.

    Args:
        text: what the file holds; empty where there is none. A byte order mark stays, and ends of lines as Windows has
            them.

    Raises:
        ValueError: the file cannot be read as what it is said to be, or not be changed without a loss; the message says
            what was seen, and on which line where that is known.
    """
    edit, read = _KINDS[kind]
    body = text.removeprefix(_MARK)
    has_crlf = "\r\n" in body and body.count("\r\n") == body.count("\n")
    if has_crlf:
        body = body.replace("\r\n", "\n")
    before = read(body)
    if before is not None and not isinstance(before, Mapping):
        raise ValueError("it holds no names and values")
    meant = merge(before or {}, values)
    # By their texts, as 1 and true are equal. A library may set the spaces of a file anew that it only looks at.
    if repr(meant) == repr(before):
        return text
    after = edit(body, values)
    # Whatever the libraries make of a file that nobody thought of: what is written is what was meant, or nothing is.
    if read(after) != meant:
        raise ValueError("it cannot be changed without changing more than is meant")
    return text[: text.startswith(_MARK)] + (after.replace("\n", "\r\n") if has_crlf else after)


def _read_toml(text: str) -> Any:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        return tomlkit.parse(text).unwrap()
    except TOMLKitError as error:
        raise ValueError(str(error)) from error


def _edit_toml(text: str, values: Mapping[str, Any]) -> str:
    import tomlkit

    document = tomlkit.parse(text)
    _merge_table(document, values)
    return tomlkit.dumps(document)


def _merge_table(table: Any, values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(table.get(key), Mapping):
            _merge_table(table[key], value)
        else:
            table[key] = value


def _open_yaml(text: str) -> Any:
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 10_000  # no line is broken that was not
    is_indented = re.search(r"^[^\s#].*:[ \t]*(?:#.*)?\n(?:[ \t]*(?:#.*)?\n)*[ ]+- ", text, re.MULTILINE)
    has_lists = re.search(r"^\s*- ", text, re.MULTILINE)
    if is_indented or not has_lists:
        yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _read_yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ValueError(f"line {mark.line + 1}: it is no YAML" if mark else "it is no YAML") from error


def _edit_yaml(text: str, values: Mapping[str, Any]) -> str:
    from ruamel.yaml.error import YAMLError

    yaml = _open_yaml(text)
    try:
        document = yaml.load(text)
        if document is None:
            document = dict(values)
        else:
            _merge_yaml(document, values)
        written = io.StringIO()
        yaml.dump(document, written)
    except YAMLError as error:
        raise ValueError("it is no YAML") from error
    return text + written.getvalue() if text.strip() and not _has_content(text) else written.getvalue()


def _has_content(text: str) -> bool:
    return any(line.strip() and not line.lstrip().startswith("#") for line in text.splitlines())


def _merge_yaml(node: Any, values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        old = node.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            _merge_yaml(old, value)
        elif isinstance(old, list) and isinstance(value, list):
            for item in value:
                _put_item(old, item)
        elif old != value:
            node[key] = value


def _put_item(items: Any, item: Any) -> None:
    name = find_name(item)
    places = [place for place, other in enumerate(items) if name is not None and find_name(other) == name]
    if places:
        if items[places[0]] != item:
            items[places[0]] = item
    elif item not in items:
        items.append(item)


_KINDS: dict[FileKind, tuple[Callable[[str, Mapping[str, Any]], str], Callable[[str], Any]]] = {
    "json": (edit_json, read_json_text),
    "toml": (_edit_toml, _read_toml),
    "yaml": (_edit_yaml, _read_yaml),
}
