"""`stack.yml`'s text to ``StackFile``, or one ``ConfigError`` with every problem at its line; and its JSON Schema.

Pure. pydantic does the checking and is imported only when there is something to check: it takes longer to import
than everything else that ``render`` does.
"""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

from stackctl.core.settings.mask_checks import check_masks
from stackctl.core.settings.provider_checks import check_providers
from stackctl.core.settings.stackfile import (
    Cache,
    ContentLog,
    IdentityHeaders,
    Limits,
    LocalModel,
    ModelLimits,
    Provider,
    ProviderTimeouts,
    RemoteModel,
    Route,
    RouteCache,
    RouteDefaults,
    StackFile,
    describe_key,
)
from stackctl.core.text.validation_words import describe_error, suggest_key
from stackctl.core.text.yamltree import YamlTree, parse_yaml
from stackctl.errors import ConfigError, Finding

# Keys of a model whose texts are marked ``AsWritten``.
_AS_WRITTEN = ("arguments", "environment", "prompt_cache")
_TYPES = (
    *(StackFile, LocalModel, Provider, IdentityHeaders, ProviderTimeouts, RemoteModel),
    *(Route, RouteDefaults, RouteCache, Limits, ModelLimits, ContentLog, Cache),
)
# Keys of a provider whose values are names of variables, where a person may write the secret itself.
_VARIABLES = ("api_key", "headers", "ticket", "user_id", "user_type")


def parse_stackfile(text: str, path: str = "stack.yml") -> StackFile:
    """Parse and check `stack.yml`; empty text is an empty file.

    Raises:
        ConfigError: the text has an unknown key, a wrong type or a duplicate name; names each with its line.
    """
    tree = parse_yaml(text, path)
    if not tree.findings and tree.value in (None, {"version": 1}):
        return StackFile()
    findings = list(tree.findings)
    parsed, problems = _validate(tree)
    findings += problems
    if parsed is not None:
        findings += [_add_line(finding, tree) for finding in (*check_providers(parsed), *check_masks(parsed))]
    if parsed is None or findings:
        findings.sort(key=lambda finding: finding.line)
        raise ConfigError(f"{path} is not usable.", findings[0].hint, findings)
    return parsed


def _validate(tree: YamlTree) -> tuple[StackFile | None, list[Finding]]:
    from pydantic import TypeAdapter, ValidationError

    try:
        # By way of JSON, in which pydantic's strict mode takes objects for dataclasses and arrays for tuples.
        return TypeAdapter(StackFile).validate_json(json.dumps(_build_document(tree), default=str)), []
    except ValidationError as error:
        return None, [_build_finding(dict(item), tree) for item in error.errors()]
    except (TypeError, ValueError, RecursionError):  # a key that is no text, an alias that contains itself
        message = "cannot be read: an alias (&, *) contains itself"
        problem = Finding("stack.yml", message, "write it without aliases", file=tree.path)
        return None, [] if tree.findings else [problem]


def _build_document(tree: YamlTree) -> Any:
    """The file's value for pydantic: without empty sections, and with texts as they are written."""
    if not isinstance(tree.value, dict):
        return tree.value
    # A section whose every line is commented out reads as null and means that there is none.
    document = {str(key): item for key, item in tree.value.items() if item is not None}
    if isinstance(document.get("models"), dict):
        document["models"] = {
            name: {key: _take_written(tree, ("models", name, key), item) for key, item in model.items()}
            if isinstance(model, dict)
            else model
            for name, model in document["models"].items()
        }
    return document


def _take_written(tree: YamlTree, path: tuple[Any, ...], value: Any) -> Any:
    """The value at this path; a scalar that is marked ``AsWritten`` as its text, ``1.10`` and not 1.1."""
    if path[2] not in _AS_WRITTEN or value is None:
        return value
    if isinstance(value, dict | list):
        if len(path) > 3:  # deeper than any text, and perhaps an alias that contains itself
            return value
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        taken = {key: _take_written(tree, (*path, key), item) for key, item in pairs}
        return taken if isinstance(value, dict) else list(taken.values())
    return tree.find_text(path)


def build_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of `stack.yml`."""
    from pydantic import TypeAdapter

    schema = TypeAdapter(StackFile).json_schema()
    for kind in _TYPES:
        section = schema if kind is StackFile else schema["$defs"][kind.__name__]
        section["description"] = (kind.__doc__ or "").strip()
        for item in fields(kind):
            section["properties"][item.name]["description"] = describe_key(item)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "stack.yml"}


def _build_finding(error: dict[str, Any], tree: YamlTree) -> Finding:
    path = tuple(part for part in error["loc"] if part != "[key]")
    line = tree.find_line(path)
    subject = ".".join(str(part) for part in path) or "stack.yml"
    if error["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        nearest = suggest_key(str(path[-1]), _list_keys(path[:-1]))
        return Finding(subject, "is not a key of this section", nearest or "remove it", file=tree.path, line=line)
    place = (path[0], path[2]) if len(path) > 2 else ()
    if place and place[0] == "providers" and place[1] in _VARIABLES and error["loc"][-1] != "[key]":
        # Whoever writes the secret itself here must not find it in a log: what was seen is not shown.
        message = "expected the name of a variable in .env, such as OPENAI_API_KEY; the secret itself belongs there"
        return Finding(subject, message, f"move the value to .env and name it in {subject}", file=tree.path, line=line)
    if place == ("models", "environment"):  # what was seen may be a secret
        message = "expected text, a number, or ${NAME} for a variable in .env, under the name of a variable"
        return Finding(subject, message, f"correct {subject}", file=tree.path, line=line)
    message, hint = describe_error(error, subject, tree.find_text(path))
    return Finding(subject, message, hint, file=tree.path, line=line)


def _add_line(finding: Finding, tree: YamlTree) -> Finding:
    lines = {".".join(map(str, path)): line for path, line in tree.lines.items()}
    return replace(finding, file=tree.path, line=lines.get(finding.subject, 1))


def _list_keys(path: tuple[Any, ...]) -> list[str]:
    """Known keys of the section at this path, for a suggestion."""
    match path:
        case ("models", _):
            section: Any = LocalModel
        case ("providers", _):
            section = Provider
        case ("providers", _, "models", _):
            section = RemoteModel
        case ("providers", _, "timeouts"):
            section = ProviderTimeouts
        case ("providers", _, "header_names"):
            section = IdentityHeaders
        case ("routes", _):
            section = Route
        case ("routes", _, "defaults"):
            section = RouteDefaults
        case ("limits",):
            section = Limits
        case ("limits", "models", _):
            section = ModelLimits
        case _:
            section = StackFile
    return [item.name for item in fields(section)]
