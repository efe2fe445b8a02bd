"""The sentences that stackctl shows when something is wrong, read from its code. Reads files.

A sentence is what an error or a finding is given as its message. What is put in at run time stands as ``…``; places
with nothing but points between them are one, and those at either end are left out, so that what remains is what one
would look for.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import stackctl.errors
from stackctl.errors import StackError

# Its findings name fields of a bundle's manifest, for those who write one.
_LEFT_OUT = frozenset({"core/bundle/format/manifest_reader.py"})
_ERRORS = {
    name for name, kind in vars(stackctl.errors).items() if isinstance(kind, type) and issubclass(kind, StackError)
}
# Which argument the message is.
_PLACES = {**dict.fromkeys([*_ERRORS, "raise_config_error"], 0), "Finding": 1}


@cache
def list_sentences(package: Path) -> dict[str, str]:
    """Every sentence, and one file that says it."""
    sentences = {}
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).as_posix()
        for kind, template in find_templates(ast.parse(path.read_text(encoding="utf-8"))):
            if kind == "Finding" and name in _LEFT_OUT:
                continue
            sentence = shorten(template)
            # One word says nothing by itself: what was put in is the message.
            if len(re.findall(r"[A-Za-z]{2,}", sentence)) > 1:
                sentences[sentence] = name
    return sentences


def shorten(template: str) -> str:
    """A template as one looks for it."""
    line = re.sub(r"…(?:[\s.:;,]*…)+", "…", " ".join(template.split()))
    return line.strip(" .:;,…")


def find_templates(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """What errors and findings of a module are given as their messages, with the name of their class."""
    for call, scope in _walk_calls(tree, tree):
        name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
        if name not in _PLACES:
            continue
        place = _PLACES[name]
        named = [keyword.value for keyword in call.keywords if keyword.arg == "message"]
        for message in [*call.args[place : place + 1], *named]:
            yield from ((name, template) for template in _list_texts(message, scope))


def _walk_calls(node: ast.AST, scope: ast.AST) -> Iterator[tuple[ast.Call, ast.AST]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call):
            yield child, scope
        is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        yield from _walk_calls(child, child if is_function else scope)


def _list_texts(node: ast.expr, scope: ast.AST | None) -> list[str]:
    """All that an expression may be, as far as it is written there; a name is what its function gives it."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=parts):
            return ["".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in parts)]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            firsts, seconds = (_list_texts(side, scope) or ["…"] for side in (left, right))
            return [first + second for first in firsts for second in seconds]
        case ast.IfExp(body=body, orelse=other):
            return _list_texts(body, scope) + _list_texts(other, scope)
        case ast.Name(id=name) if scope is not None:
            return [text for value in _list_values(name, scope) for text in _list_texts(value, None)]
        case _:
            return []


def _list_values(name: str, scope: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(scope):
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            assert isinstance(node, ast.Assign | ast.AnnAssign)
            if node.value is not None:
                yield node.value
