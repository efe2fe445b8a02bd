"""What is shown of a tool's settings: it can be copied as it is, and no secret is in it unasked."""

from __future__ import annotations

import json
import shlex
import tomllib
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from stackctl.core.connect.show import list_parts, render_difference
from stackctl.core.connect.tools import TOOLS
from stackctl.core.connect.values import KEY, FileKind, Gateway, Model

GATEWAY = Gateway("http://127.0.0.1:8000", Model("local-chat", 8192), "local-embed")
ODD = """sk-$HOME"'\\x#{<"""
READ: dict[FileKind, Callable[[str], Any]] = {"json": json.loads, "toml": tomllib.loads, "yaml": yaml.safe_load}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"ANTHROPIC_AUTH_TOKEN": "old-and-secret"', '"ANTHROPIC_AUTH_TOKEN": "new-and-secret"'),
        ("experimental_bearer_token = 'old-and-secret'", 'experimental_bearer_token = "new-\\"and-secret"'),
        ("openai-api-key: old-and-secret", "openai-api-key: sk-new-and-secret"),
        ('{"apiKey":"old-and-secret","a":1}', '{"apiKey":"a \\"secret","a":1}'),
        ('"Authorization": "Bearer old-and-secret"', ""),
        ("- openai=sk-old-and-secret", "- openai=sk-new-and-secret"),
        ("mine-and-secret", "mine-and-secret: 2"),
    ],
)
def test_no_secret_is_in_a_difference(before: str, after: str) -> None:
    kept = 'OPENAI_API_KEY: "kept-and-secret"'
    shown = render_difference("file", f"{kept}\n{before}\n", f"{kept}\n{after}\n", "mine-and-secret")
    assert "secret" not in shown
    assert "OPENAI_API_KEY: ***" in shown
    assert shown.startswith("--- file")


def test_what_is_no_secret_stays_in_a_difference() -> None:
    text = '"max_tokens": 8192, "api_key_name": "stack", "model": "sk-8b", "apiKeyEnvar": "STACK_KEY"'
    assert f"+{text}" in render_difference("file", "", text, "sk-mine").splitlines()


@pytest.mark.parametrize("name", TOOLS)
def test_a_key_of_any_characters_is_shown_as_it_has_to_be_written(name: str) -> None:
    guide = TOOLS[name].build(GATEWAY)
    parts = dict(list_parts(guide, "file", ODD))
    if guide.variables:
        words = shlex.split(parts["in the shell, before it is started:"])
        exported = dict(word.split("=", 1) for word in words if word != "export")
        assert exported == {key: value.replace(KEY, ODD) for key, value in guide.variables.items()}
    if guide.settings:
        meant = json.loads(json.dumps(guide.settings.values).replace(KEY, json.dumps(ODD)[1:-1]))
        assert READ[guide.settings.kind](parts["in file:"]) == meant
