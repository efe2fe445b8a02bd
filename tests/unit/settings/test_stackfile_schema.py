"""The schema of `stack.yml` that editors read."""

from __future__ import annotations

import copy
from typing import Any

import jsonschema
import pytest
import yaml

from stackctl.core.settings.stackfile_reader import build_schema
from tests.fakes import CHECKOUT
from tests.unit.settings.stackfiles import FULL, find_problems


def test_the_schema_takes_what_the_parser_takes() -> None:
    validator = jsonschema.Draft202012Validator(build_schema())
    validator.check_schema(build_schema())
    for text in (FULL, (CHECKOUT / "stack.yml").read_text()):
        validator.validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    "path",
    [
        ("models", "local-review"),
        ("providers", "openai"),
        ("providers", "company", "timeouts"),
        ("providers", "company", "header_names"),
        ("routes", "local-review"),
        ("routes", "local-review", "defaults"),
        ("limits",),
        (),
    ],
)
def test_the_schema_refuses_an_unknown_key_everywhere(path: tuple[str, ...]) -> None:
    document: dict[str, Any] = copy.deepcopy(yaml.safe_load(FULL))
    section = document
    for key in path:
        section = section[key]
    section["nonsense"] = 1
    assert not jsonschema.Draft202012Validator(build_schema()).is_valid(document)
    assert find_problems(yaml.safe_dump(document))


def test_the_schema_explains_every_key() -> None:
    schema = build_schema()
    for section in (schema, *schema["$defs"].values()):
        for name, item in section.get("properties", {}).items():
            assert item.get("description"), name


@pytest.mark.parametrize(("key", "value"), [("temperature", 2.1), ("max_tokens", 0), ("top_p", -0.1)])
def test_the_schema_bounds_what_a_route_gives_by_default(key: str, value: float) -> None:
    document = {"routes": {"r": {"defaults": {key: value}}}}
    assert not jsonschema.Draft202012Validator(build_schema()).is_valid(document)
