"""YAML text to plain values with the line of every key, refusing duplicate keys and keys that are no text. Pure.

PyYAML keeps the last of two equal keys without a word; here the second is a finding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from stackctl.errors import ConfigError, Finding

try:
    from yaml import CSafeLoader as SafeLoader
except ImportError:  # PyYAML built without libyaml
    from yaml import SafeLoader  # type: ignore[assignment]

Path = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class YamlTree:
    """A parsed document.

    Attributes:
        value: plain dicts, lists and scalars; None for an empty document.
        lines: line of each path of keys and indices, from 1.
        findings: duplicate keys, and keys that are no text.
        node: the document before YAML made values of it.
    """

    path: str
    value: Any
    lines: Mapping[Path, int]
    findings: tuple[Finding, ...]
    node: yaml.Node | None = field(default=None, repr=False)

    def find_line(self, path: Path) -> int:
        """The line of this path, or of the nearest parent that has one."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def find_text(self, path: Path) -> str:
        """The scalar at this path as it is written: ``1.10``, which its value is not; empty where there is none."""
        node = self.node
        for part in path:
            children: dict[Any, yaml.Node] = {}
            if isinstance(node, yaml.MappingNode):
                children = {key.value: value for key, value in node.value if isinstance(key, yaml.ScalarNode)}
            elif isinstance(node, yaml.SequenceNode):
                children = dict(enumerate(node.value))
            node = children.get(part)
        return str(node.value) if isinstance(node, yaml.ScalarNode) else ""


def parse_yaml(text: str, path: str) -> YamlTree:
    """Parse one YAML document.

    Raises:
        ConfigError: the text is not YAML; names the line.
    """
    loader = SafeLoader(text)
    try:
        node = loader.get_single_node()
        value = None if node is None else loader.construct_document(node)
    except (yaml.YAMLError, ValueError) as error:
        finding = _build_finding(error, text, path)
        raise ConfigError(f"{path} is not valid YAML.", finding.hint, (finding,)) from error
    finally:
        loader.dispose()
    lines: dict[Path, int] = {}
    findings: list[Finding] = []
    if node is not None:
        _walk(node, (), path, lines, findings, set())
    return YamlTree(path, value, lines, tuple(findings), node)


def _build_finding(error: Exception, text: str, path: str) -> Finding:
    """The finding for the place where the text stops being YAML."""
    if isinstance(error, yaml.reader.ReaderError):
        line = text.encode()[: error.position].count(b"\n") + 1  # libyaml counts bytes
        message = f"holds the character U+{int(error.character):04X}, which YAML does not take"
        return Finding("syntax", message, "remove it", file=path, line=line)
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark else 0
    shown = "".join(text.split("\n")[mark.line : mark.line + 1]) if mark else ""
    if "\t" in shown[: len(shown) - len(shown.lstrip())]:
        return Finding("syntax", "is indented with a tab; YAML takes spaces", "replace it", file=path, line=line)
    column = f" (column {mark.column + 1})" if mark else ""
    problem = getattr(error, "problem", None) or "it cannot be read"
    return Finding("syntax", f"is not valid YAML: {problem}{column}", "correct this line", file=path, line=line)


def _walk(
    node: yaml.Node, at: Path, path: str, lines: dict[Path, int], findings: list[Finding], seen: set[int]
) -> None:
    lines.setdefault(at, node.start_mark.line + 1)
    if id(node) in seen:  # an alias: once is enough, and a file of nested aliases would never end
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            child = (*at, key.value)
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:str":
                # YAML reads no, on, 1.10 and dates as something else than the text that was written.
                message = f"'{key.value}' is read as no text by YAML; expected a name"
                findings.append(
                    Finding(".".join(map(str, child)), message, f'write "{key.value}"', file=path, line=line)
                )
            if child in lines:
                message = f"stands twice, first on line {lines[child]}"
                findings.append(
                    Finding(".".join(map(str, child)), message, "rename or remove one", file=path, line=line)
                )
                continue
            lines[child] = line
            _walk(value, child, path, lines, findings, seen)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _walk(item, (*at, index), path, lines, findings, seen)
